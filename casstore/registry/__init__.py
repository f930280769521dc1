"""Registries: images over the OCI distribution API, in and out. The only room that knows HTTP."""
