"""The names that an OCI layout gives to what it lists.

`io.containerd.image.name` is a reference in full. Otherwise `org.opencontainers.image.ref.name` is
one where it has a `/`, a `:` or an `@` in it. A bare tag, which skopeo and umoci write, is a tag in
the repository that the layout is called: `v1` in `./busybox/` or in `busybox.tar` is `busybox:v1`.
What is no legal name, or names another digest than it stands at, leaves the image without a name,
and a notice says so.
"""

from __future__ import annotations

from casstore.errors import InvalidReference, quote
from casstore.model.digest import Digest, is_hex64
from casstore.model.keys import CONTAINERD_NAME, PARENT, REF_NAME
from casstore.model.manifest import INDEX_JSON
from casstore.model.record import Arrival
from casstore.model.reference import Reference, is_tag, parse_name, parse_target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from casstore.model.descriptor import Descriptor
    from casstore.model.manifest import Entry
    from casstore.model.record import ImageRecord


def names_of(
    annotations: Mapping[str, str], digest: Digest, repository: str | None
) -> tuple[Reference, ...]:
    """The names that a descriptor in `index.json` gives to what it points to.

    Args:
        annotations: of the descriptor.
        digest: that it points to; a digest reference must be to this one.
        repository: what bare tags are tags of.

    Raises:
        InvalidReference: it gives a name that cannot be used; the text says why.
    """
    text = annotations.get(CONTAINERD_NAME)
    if text is None:
        text = annotations.get(REF_NAME)
        if not text:
            return ()
        if is_tag(text):
            if repository is None:
                raise InvalidReference("it is a tag, and there is no name of a file to go with it")
            text = f"{repository}:{text}"
    name = parse_name(text)
    if name.digest is None:
        return (name.reference,)
    if name.digest != digest:
        raise InvalidReference("it has the digest of something else")
    tags = () if name.tag is None else (Reference(f"{name.repository}:{name.tag}"),)
    return (*tags, name.reference)


def arrivals_of(
    entries: Sequence[Entry],
    records: Mapping[Descriptor, ImageRecord],
    stem: str | None,
    notices: list[str],
) -> list[Arrival]:
    """An arrival for each descriptor; one for each image where no name is given twice.

    Args:
        entries: of index.json.
        records: what was staged of them.
        stem: what the layout is called.
        notices: gets a line for each name that cannot be used.
    """
    repository = repository_of(stem)
    found: list[Arrival] = []
    for entry in entries:
        record = records.get(entry.descriptor)
        if record is None:
            continue
        try:
            names = names_of(entry.annotations, entry.descriptor.digest, repository)
        except InvalidReference as error:
            names = ()
            text = entry.annotations.get(CONTAINERD_NAME) or entry.annotations.get(REF_NAME)
            notices.append(
                f"{record.id.short} comes without the name {quote(text)} that {INDEX_JSON} gives "
                f"it: {error}"
            )
        found.append(Arrival(record, names, _parent(entry.annotations)))
    given = [name for arrival in found for name in arrival.names]
    if len(given) != len(set(given)):
        return found  # the last one gets it, which only the order tells
    merged: dict[Digest, Arrival] = {}
    for arrival in found:
        known = merged.get(arrival.image.top.digest)
        merged[arrival.image.top.digest] = (
            arrival
            if known is None
            else Arrival(known.image, known.names + arrival.names, known.parent or arrival.parent)
        )
    return list(merged.values())


def repository_of(stem: str | None) -> str | None:
    """The repository that bare tags are tags of, if the layout has a name that can be one."""
    if not stem:
        return None
    repository = stem.lower()
    try:
        return repository if parse_target(f"{repository}:latest") else None
    except InvalidReference:
        return None


def _parent(annotations: Mapping[str, str]) -> Digest | None:
    text = annotations.get(PARENT, "")
    return Digest(text) if text[:7] == "sha256:" and is_hex64(text[7:]) else None
