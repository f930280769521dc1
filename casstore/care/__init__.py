"""Care of a store: garbage collection, checks, repair, rebuilding the index, copies."""
