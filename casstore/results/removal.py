"""What removals did: rmi and prune."""

from __future__ import annotations

from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from casstore.errors import CasstoreError
    from casstore.model.plan import Removed


class Outcome(Value):
    """What became of one IMAGE argument of a removal."""

    argument: str
    lines: tuple[Removed, ...]
    error: CasstoreError | None
    kept: tuple[str, ...]  # one line for each layer that something else still needs
    trash: int | None = None  # the entry of the trash that has it


class RemovalResult(Value):
    """What a removal did, or would do."""

    outcomes: tuple[Outcome, ...]
    freed: int  # bytes on disk
    exit_code: int
    warnings: tuple[str, ...] = ()


class PruneResult(Value):
    """What a prune did, or would do."""

    removed: Sequence[Removed]
    reclaimed: int  # file bytes of the freed layers, as Docker counts them
    freed: int  # bytes on disk
    warnings: tuple[str, ...] = ()
