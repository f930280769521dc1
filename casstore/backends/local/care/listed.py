"""index.json as anybody may have written it, and the files that keep parts of it aside.

Here it is parsed and checked like any foreign document, whatever its form; the form that casstore
writes, which needs no parser, is the business of backends/local/published.py.
"""

from __future__ import annotations

import os
import stat

from casstore.backends.local.publishedlines import lines_of
from casstore.errors import CasstoreError, Refused, quote
from casstore.files import durable
from casstore.model import document
from casstore.model.digest import Digest, sha256
from casstore.model.document import Fields
from casstore.model.keys import CONTAINERD_NAME, PARENT, REF_NAME
from casstore.model.manifest import DESCRIPTOR, DOCUMENT, parse_entry
from casstore.model.reference import parse_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from casstore.backends.local.directory import LocalStore
    from casstore.model.descriptor import Descriptor
    from casstore.model.manifest import Entry
    from casstore.model.reference import Reference

FOREIGN = "index.json.foreign-"
DAMAGED = "index.json.damaged-"


def listed(data: bytes) -> tuple[list[tuple[Entry, Any]], dict[str, str]]:
    """Each descriptor with its JSON, and the annotations. Raises Refused."""
    value = document.read(data, "index.json", DOCUMENT, limit=len(data))
    fields = Fields(value, "index.json")
    items = fields.items("manifests")
    entries = [
        parse_entry(item, f"manifest {number} of index.json")
        for number, item in enumerate(items, 1)
    ]
    return list(zip(entries, items, strict=True)), fields.text_mapping("annotations")


def each_listed(path: str) -> Iterator[tuple[Entry, Any]]:
    """As `listed`, of a file: one record at a time, where it has the form that casstore writes.

    Raises:
        Refused: something is wrong with it; what came before may be right.
    """
    lines = lines_of(path)
    if lines is None:
        yield from listed(read_file(path))[0]
        return
    for number, line in enumerate(lines, 1):
        name = f"manifest {number} of index.json"
        item = document.read(line, name, DESCRIPTOR, limit=len(line))
        yield parse_entry(item, name), item


def read_file(path: str) -> bytes:
    """A whole file, nothing where there is none. Raises Refused: not a regular file; OSError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    with open(descriptor, "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Refused(f"{quote(os.path.basename(path))} is not a regular file")
        return file.read()


def given_name(annotations: dict[str, str], digest: Digest) -> Reference | None:
    """The reference that a descriptor's annotations give; None where there is none, or a bad one.

    Other tools set `org.opencontainers.image.ref.name` and may copy containerd's full name from
    another descriptor (umoci does), so that counts only where it says the same. A bare word is a
    repository: `oci:STORE:web` is `web:latest`.
    """
    short, full = annotations.get(REF_NAME), annotations.get(CONTAINERD_NAME)
    try:
        name = parse_name(short or full or "")
        if full and parse_name(full).reference.familiar == short:
            name = parse_name(full)
    except CasstoreError:
        return None
    return name.reference if name.digest in (None, digest) else None


def written_as(annotations: dict[str, str], name: Reference) -> str | None:
    """How a descriptor's annotations write the name that they give, if not in its familiar form.

    Other tools look for exactly that: skopeo finds `oci:STORE:web` where that is what it wrote.
    """
    text = annotations.get(REF_NAME)
    return None if text in ("", name.familiar) else text


def given_parent(annotations: dict[str, str]) -> Digest | None:
    """The parent that a descriptor's annotations give; what is no digest is none.

    It says how images were built, nothing more: no reason to refuse the image, or all of them.
    """
    try:
        return Digest.parse(annotations.get(PARENT))
    except Refused:
        return None


def kept_files(disk: LocalStore) -> list[str]:
    """Names of the files that list what could not be taken in."""
    return sorted(name for name in os.listdir(disk.root) if name.startswith((FOREIGN, DAMAGED)))


def kept_descriptors(disk: LocalStore) -> Iterator[Descriptor]:
    """Descriptors in the files that were kept aside, as far as these can be read."""
    for name in kept_files(disk):
        try:
            entries, _ = listed(read_file(os.path.join(disk.root, name)))
        except (Refused, OSError):
            continue
        yield from (entry.descriptor for entry, _ in entries)


def keep_aside(disk: LocalStore, data: bytes, prefix: str = FOREIGN) -> str:
    """Write `data` to a file beside index.json, durably; the lock is held.

    Its name is made of its content, so that the same is kept once. gc removes no blob while it is
    there.

    Returns:
        The name.
    """
    name = f"{prefix}{sha256(data).hex[:12]}"
    staging = os.path.join(disk.ingest, name)
    with durable.replace_file(os.path.join(disk.root, name), staging) as new:
        new.file.write(data)
    return name


def layout_of(items: Iterable[Any]) -> bytes:
    """An index.json of these descriptors, which are JSON already."""
    import json

    return json.dumps({"schemaVersion": 2, "manifests": list(items)}, indent=1).encode() + b"\n"
