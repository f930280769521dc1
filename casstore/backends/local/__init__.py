"""The local backend: a directory, an SQLite file, a lock file. FORMAT.md specifies each file."""
