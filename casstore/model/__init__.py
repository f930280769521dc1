"""Values and documents: no I/O, no clock, no environment."""
