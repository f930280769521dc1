"""Answers about a store: listings, details, space. They read and change nothing."""
