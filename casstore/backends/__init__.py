"""Backends: where a store is kept. Each implements all of ports/."""
