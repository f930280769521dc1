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

# What happens, as events call it: first in Docker's words, then what only casstore does.
TAG, UNTAG, DELETE = "tag", "untag", "delete"
LOAD, IMPORT, PULL, PUSH, SAVE, PRUNE = "load", "import", "pull", "push", "save", "prune"
COPY, SIGN, ENCRYPT, DECRYPT = "copy", "sign", "encrypt", "decrypt"
PIN, UNPIN, LEASE, UNLEASE = "pin", "unpin", "lease", "unlease"
RESTORE, EMPTY, GC = "restore", "empty", "gc"
ADOPT = "adopt"  # an image, or a name, that another tool has put into index.json
REBUILD = "rebuild"  # of the index: what was before may not be among the events

# Annotations in index.json: OCI's (image-spec, annotations.md), containerd's and ours.
REF_NAME = "org.opencontainers.image.ref.name"
CONTAINERD_NAME = "io.containerd.image.name"  # a reference in full
PARENT = "io.casstore.image.parent"  # the image ID of the recorded parent
PINNED = "io.casstore.image.pinned"
THIN = "io.casstore.thin"  # digest of the list of what a layout leaves out
INDEX_GENERATION = "io.casstore.index.generation"
INDEX_PUBLISHED = "io.casstore.index.published"
