"""How two images differ, file by file.

Both are walked side by side, so that a million files need no more memory than two. A file that both
have from the same layer is the same without a look at it.
"""

from __future__ import annotations

from casstore.model.fileentry import sort_key
from casstore.results.files import ADDED, CHANGED, REMOVED, FileChange, ImageFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def changes_between(
    before: Iterable[ImageFile], after: Iterable[ImageFile], *, times: bool = False
) -> Iterator[FileChange]:
    """The paths that differ, in the order of `sort_key`, which both sides come in.

    Args:
        times: whether a file that differs in its time alone is one of them.
    """
    olds, news = iter(before), iter(after)
    old, new = next(olds, None), next(news, None)
    while old is not None or new is not None:
        if new is None or (old is not None and sort_key(old.name) < sort_key(new.name)):
            assert old is not None
            yield FileChange(old.path, REMOVED, old, None, ())
            old = next(olds, None)
        elif old is None or sort_key(new.name) < sort_key(old.name):
            yield FileChange(new.path, ADDED, None, new, ())
            new = next(news, None)
        else:
            what = _what_differs(old, new)
            if what and (times or what != ("mtime",)):
                yield FileChange(new.path, CHANGED, old, new, what)
            old, new = next(olds, None), next(news, None)


def _what_differs(old: ImageFile, new: ImageFile) -> tuple[str, ...]:
    if old == new:
        return ()
    if old.kind != new.kind:
        return ("kind",)
    pairs = {
        "mode": (old.mode, new.mode),
        "owner": ((old.uid, old.gid), (new.uid, new.gid)),
        "size": (old.size, new.size),
        "content": (old.sha256, new.sha256),
        "target": (old.raw_target, new.raw_target),
        "device": (old.device, new.device),
        "xattrs": (old.xattrs, new.xattrs),
        "mtime": (old.mtime, new.mtime),
    }
    return tuple(what for what, (before, after) in pairs.items() if before != after)
