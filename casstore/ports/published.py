"""The published index: index.json, which other OCI tools read.

It follows from the index and never decides anything, but it carries the generation of the change
that it shows, so that a stale one, or another tool's, is seen at a glance. A backend that publishes
nothing answers as one whose list is always current.
"""

from __future__ import annotations

from casstore.startup.typed import Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from casstore.model.published import Published


class PublishedIndex(Protocol):
    """index.json of one store. What changes it raises StorageError where it cannot.

    Where it cannot be read, it counts as one that is not of our form; `note` does without.
    """

    def generation(self) -> int | None:
        """The generation published; None where there is none, or it is not of our form."""

    def is_foreign(self) -> bool:
        """Whether there is one that is not of our form: another tool wrote it."""

    def is_withdrawn(self) -> bool:
        """Whether it says that nothing is published."""

    def withdraw(self) -> None:
        """Let it name nothing, and keep what it named; durable on return."""

    def note(self, generation: int) -> None:
        """Where nothing is published: remember the generation.

        So an old copy of the index that is put back is noticed. It is not flushed: it may be
        behind, never ahead.
        """

    def forget_last(self) -> None:
        """Remove what `withdraw` kept."""

    def flush(self) -> None:
        """Make what was published last durable. No lock is needed."""

    def write(self, rows: Iterable[Published], generation: int) -> None:
        """Publish a whole new version; until `flush` a power cut may bring the old one back."""

    def splice(
        self,
        edits: Sequence[tuple[Published, Published | None]],
        added: Sequence[Published],
        generation: int,
    ) -> bool:
        """Publish a version that differs by a few records; as `write`.

        Args:
            edits: each old record with the one to put in its place, or None to cut it.
            added: records to append.

        Returns:
            False, and nothing is changed, if an old record is not there: then it is not what was
            last published, and `write` must be used.
        """
