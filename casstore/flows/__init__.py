"""Use cases that move bytes: each takes images in, or gives them out."""
