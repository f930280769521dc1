"""`casstore_assert_file`: an image has a file as it should be, or the test says what it has."""

from __future__ import annotations

from difflib import unified_diff

from casstore.errors import CasstoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from casstore.results.files import ImageFile
    from casstore.store.files import ImageFiles

_LINES = 40  # of a difference, or of a directory's names


def wrong_with(
    files: ImageFiles,
    path: str,
    content: str | bytes | None,
    wanted: dict[str, object],
) -> list[str]:
    """What is wrong with a file, a line each; nothing if it is as it should be.

    Args:
        content: what is in it; text is UTF-8. None: whatever there is.
        wanted: properties of ImageFile, by name.
    """
    if path not in files:
        return [f"{path} is not there", *_beside(files, path)]
    # A content is read through links, as a program in the image would read it; else the path counts
    # as it is, so that a link can be asked about.
    file = files[path] if content is None else files.resolve(path)
    lines = [
        f"{name} is {_shown(name, getattr(file, name))}, not {_shown(name, value)}"
        for name, value in wanted.items()
        if getattr(file, name) != value
    ]
    if content is not None:
        expected = content.encode() if isinstance(content, str) else content
        found = files.read_bytes(path) if file.is_file else None
        if found is None:
            lines.append(f"it is a {file.kind}, and has no content")
        elif found != expected:
            lines += ["content differs:", *_difference(expected, found)]
    return lines


def _shown(name: str, value: object) -> str:
    return f"{value:04o}" if name == "mode" and isinstance(value, int) else repr(value)


def _difference(expected: bytes, found: bytes) -> Iterator[str]:
    try:
        old, new = expected.decode().splitlines(), found.decode().splitlines()
    except UnicodeDecodeError:
        yield f"  expected {len(expected)} bytes, {expected[:40]!r}..."
        yield f"  found    {len(found)} bytes, {found[:40]!r}..."
        return
    if old == new:
        yield f"  only in how lines end: expected {expected[-20:]!r}, found {found[-20:]!r}"
    lines = list(unified_diff(old, new, "expected", "found", lineterm=""))
    yield from (f"  {line}" for line in lines[:_LINES])
    if len(lines) > _LINES:
        yield f"  ... and {len(lines) - _LINES} lines more"


def _beside(files: ImageFiles, path: str) -> Iterator[str]:
    """What there is in the directory where the file should be."""
    directory = path.rpartition("/")[0] or "/"
    try:
        names: list[ImageFile] = list(files.listdir(directory))
    except CasstoreError as error:
        yield f"{error}"
        return
    yield f"{directory} has:"
    yield from (f"  {file.path}" for file in names[:_LINES])
    if len(names) > _LINES:
        yield f"  ... and {len(names) - _LINES} more"
