"""What fsck asks of one blob and of one image: is it what the index says?

Each question is asked of a look at the index, and can be asked again of a later one.
"""

from __future__ import annotations

import os
import stat

from casstore.backends.local.care.content import content_problem, unreadable
from casstore.backends.local.care.indexedtree import BrokenLayer
from casstore.errors import CasstoreError
from casstore.model.descriptor import INDEX, MANIFEST
from casstore.model.digest import sha256
from casstore.model.findings import BROKEN_LAYER, MISMATCH
from casstore.model.imagetree import read_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container

    from casstore.backends.local.blobs import BlobDirectory
    from casstore.backends.local.care.indexedtree import IndexedTree
    from casstore.backends.local.view import LocalView
    from casstore.model.descriptor import Descriptor
    from casstore.model.digest import Digest
    from casstore.model.state import BlobState

MISSING = "blob-missing"
CORRUPT = "blob-corrupt"

Problem = tuple[str, str]  # code and text of a finding


def shape_problem(blobs: BlobDirectory, state: BlobState) -> Problem | None:
    """What is wrong with a blob's file, less its content."""
    try:
        status = os.lstat(blobs.path(state.digest))
    except FileNotFoundError:
        return MISSING, "the file is missing"
    except OSError as error:
        return unreadable(error)
    if not stat.S_ISREG(status.st_mode):
        return "blob-not-file", "not a regular file"
    if status.st_size != state.size:
        return "blob-size", f"{status.st_size} bytes, not {state.size}"
    return None


def blob_problem(blobs: BlobDirectory, state: BlobState, *, content: bool) -> Problem | None:
    """What is wrong with a blob."""
    problem = shape_problem(blobs, state)
    if problem is None and content:
        problem = content_problem(blobs, state.digest)
    return problem


def is_right(blobs: BlobDirectory, state: BlobState) -> bool:
    """Whether a small blob is there with its content; if not, others find out what is wrong."""
    try:
        data = blobs.content(state.digest, state.size)
    except CasstoreError:
        return False
    return data is not None and len(data) == state.size and sha256(data) == state.digest


def image_problems(
    view: LocalView,
    reader: IndexedTree,
    image: Digest,
    top: Descriptor,
    bad: Container[str] = frozenset(),
) -> list[tuple[str, str, str]]:
    """Where one manifest of an image and the index differ: code, object, text.

    What follows from blobs that are `bad`, which are told of themselves, is left out.
    """
    reader.expect(top.digest)
    try:
        record = read_tree(top, reader, lacks=reader.lacks)
    except CasstoreError as error:
        if _holds(view, top.digest, bad):
            return []
        code = MISMATCH if "diffID" in str(error) else "manifest-bad"
        if isinstance(error, BrokenLayer):
            code = BROKEN_LAYER
        return [(code, top.digest, str(error))]
    if record.id != image:
        return [("config-bad", image, f"the manifest means {record.id}")]
    problems = []
    for blob in record.blobs:
        if blob.kind not in (INDEX, MANIFEST):
            continue
        needs = reader.needs(blob.digest)
        # Of an index a platform may be missing; one that is damaged is told of itself.
        if needs != blob.children and not any(need in bad for need in needs):
            text = "casstore.db says that it needs other blobs than it does; fsck --repair"
            problems.append(("edge-missing", str(blob.digest), text))
    return problems


def _holds(view: LocalView, document: Digest, bad: Container[str]) -> bool:
    """Whether the document or anything below it is bad."""
    if document in bad:
        return True
    return any(_holds(view, need.digest, bad) for need in view.needs_of(document))
