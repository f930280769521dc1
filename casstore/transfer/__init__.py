"""Bytes between the store and files: archives, layouts, layers."""
