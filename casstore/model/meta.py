"""Keys of the store's own figures and settings in the index, each with its values."""

from __future__ import annotations

GENERATION = "generation"  # of what is published
PUBLISH = "setting.publish"  # when index.json is published
ALWAYS, ON_DEMAND = "always", "on-demand"
