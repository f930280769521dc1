"""Reading what a real dockerd was recorded to say: tables, removals, messages."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

PREFIX = "sha256:"
DATED = re.compile(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d Error: failed to remove one or more images")

_DAEMON = "Error response from daemon: "
_TOLD = "cannot delete image {} because "
_CONFLICTS = (
    (r"must be forced\) - image is referenced in multiple repositories",
     "it is tagged in multiple repositories, use -f to force"),
    (r"cannot be forced\) - image has dependent child images", "it has dependent child images"),
    (r"being used by running container <container (\w+)>", r"it is held by hard lease \1"),
    (r"being used by stopped container <container (\w+)>",
     r"it is held by soft lease \1, use -f to force"),
)  # fmt: skip


class State(NamedTuple):
    """An image of the store."""

    parent: str
    references: frozenset[str]


States = dict[str, State]  # by image ID, 64 hex digits


def bare(digest: str) -> str:
    return digest.removeprefix(PREFIX)


def states(images_after: Iterable[Mapping[str, object]]) -> States:
    """The recorded images after a step."""
    found: States = {}
    for image in images_after:
        refs = image["refs"]
        assert isinstance(refs, list)
        found[bare(str(image["id"]))] = State(bare(str(image["parent"])), frozenset(refs))
    return found


def chain_to_diff(diff_ids: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Docker's name for a layer on top of others -> the layer's diff ID, all hex."""
    found = {}
    for layers in diff_ids.values():
        chain = ""
        for layer in layers:
            text = f"{PREFIX}{chain} {layer}"
            chain = hashlib.sha256(text.encode()).hexdigest() if chain else bare(layer)
            found[chain] = bare(layer)
    return found


def in_our_lines(
    lines: Iterable[str],
    blobs_of: Mapping[str, Sequence[tuple[str, str]]],
    chains: Mapping[str, str],
) -> list[str]:
    """Docker's lines of a removal as casstore prints them: blobs for chain IDs, each once,
    and only where no image that is left still needs it.

    Args:
        lines: `Untagged: NAME` and `Deleted: sha256:HEX`, in either case.
        blobs_of: for each image before the removal: (diff ID, blob), hex.
        chains: as chain_to_diff.
    """
    left = dict(blobs_of)
    blob_of = {diff: blob for layers in blobs_of.values() for diff, blob in layers}
    told, printed = [], set[str]()
    for line in lines:
        kind, _, text = line.partition(" ")
        digest = bare(text)
        if kind.lower() == "untagged:" or digest in left:
            left.pop(digest, None)
            told.append(f"{kind} {digest}")
            continue
        blob = blob_of[chains[digest]]
        needed = any(blob == other for layers in left.values() for _, other in layers)
        if not needed and blob not in printed:
            printed.add(blob)
            told.append(f"{kind} {blob}")
    return told


def without_layers(lines: Iterable[str], images: Iterable[str]) -> list[str]:
    """Only the lines about references and images."""
    known = set(images)
    return [
        line
        for line in lines
        if line.lower().startswith("untagged:") or line.split(" ")[1] in known
    ]


def untagged_sorted(lines: Sequence[str]) -> list[str]:
    """Lines with each run of `Untagged:` sorted: dockerd sorts names by text, casstore by age."""
    ordered: list[str] = []
    run: list[str] = []
    for line in [*lines, ""]:
        if line.startswith("Untagged: "):
            run.append(line)
            continue
        ordered += sorted(run)
        run = []
        ordered.append(line)
    return ordered[:-1]


def in_our_words(message: str, given: str) -> str:
    """dockerd's message about one argument as the line that casstore prints."""
    message = message.removeprefix(_DAEMON)
    for pattern, told in _CONFLICTS:
        found = re.search(pattern, message)
        if found:
            return f"Error: Conflict, {_TOLD.format(given)}{found.expand(told)}"
    last = re.search(r"must force\) - container <container (\w+)>", message)
    if last:
        return (
            f"Error: Conflict, {_TOLD.format(given)}its last reference is held by"
            f" KIND lease {last[1]}, use -f to force"
        )
    message = re.sub(r"repository name \(\S+\) must be", "repository name must be", message)
    return message if message.startswith("Error ") else f"Error: {message}"


def table(text: str, columns: Sequence[str]) -> list[tuple[str, ...]]:
    """Cells of a table, found by where the words of its first line begin."""
    header, *rows = text.splitlines()
    names = re.findall(r"\S+(?: \S+)*", header)
    starts = [header.index(name) for name in names] + [None]
    place = {name: slice(starts[at], starts[at + 1]) for at, name in enumerate(names)}
    return [tuple(row[place[name]].strip() for name in columns) for row in rows]


def names_in_table(text: str) -> list[str]:
    return re.findall(r"\S+(?: \S+)*", text.splitlines()[0])
