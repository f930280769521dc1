"""What is said of files that could not be written as they are."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.files.treewriter import WrittenFiles


def warnings_of(written: WrittenFiles) -> list[str]:
    """A line for each kind of loss. Lost owners are left out: only root expects to keep them."""
    lines = []
    if written.devices:
        lines.append(f"{_counted(written.devices, 'device')} left out: only root can make them")
    if written.setids:
        lines.append(
            f"{_counted(written.setids, 'file')} written without set-user-ID and set-group-ID"
            " (--keep-setid keeps them)"
        )
    if written.xattrs:
        lines.append(
            f"{_counted(written.xattrs, 'extended attribute')} not kept: not for this user,"
            " or not on this file system"
        )
    return lines


def _counted(count: int, what: str) -> str:
    return f"{count} {what} was" if count == 1 else f"{count} {what}s were"
