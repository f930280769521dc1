"""Decisions: a view in, a plan out. No write, no clock, no environment."""
