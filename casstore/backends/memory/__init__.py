"""A store in memory: the same ports in dictionaries.

For tests that need no files, and as the proof that the ports are all that a backend has to give. It
lasts as long as the object, belongs to one process, and several threads may open it at a time.
"""
