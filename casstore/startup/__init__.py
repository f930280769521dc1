"""Tricks that buy milliseconds at the start of a command, each with its gain."""
