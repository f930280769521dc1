"""Names under which something is kept: in the index, in a store's settings, in index.json.

Each stands here once, in code; FORMAT.md says what each means.
"""

from __future__ import annotations

# Keys of the index's own figures, and beginnings of such keys.
GENERATION = "generation"  # of what is published
SETTING = "setting."  # before the name of a setting

# Settings, and what some of them can be.
PUBLISH = "publish"  # when index.json is published
ALWAYS, ON_DEMAND = "always", "on-demand"
TRASH_KEEP = "trash.keep"  # how long the trash keeps what is removed
VERIFY = "verify"  # what is verified of layers before they are stored
ALL, DIGEST = "all", "digest"

# Annotations in index.json: OCI's (image-spec, annotations.md), containerd's and ours.
REF_NAME = "org.opencontainers.image.ref.name"
CONTAINERD_NAME = "io.containerd.image.name"  # a reference in full
PARENT = "io.casstore.image.parent"  # the image ID of the recorded parent
PINNED = "io.casstore.image.pinned"
THIN = "io.casstore.thin"  # digest of the list of what a layout leaves out
INDEX_GENERATION = "io.casstore.index.generation"
INDEX_PUBLISHED = "io.casstore.index.published"
