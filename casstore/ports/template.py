"""A template: a store as it was at one moment, of which others are made.

So a store is cloned, and so a test gets its own, by the hundred. Of one that was made, it can be
asked what has become of it: that costs no more than what has changed in it.
"""

from __future__ import annotations

from casstore.startup.typed import Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.model.findings import Finding


class Template(Protocol):
    """A store as it was. What has become of that store since is nothing to it, less its blobs."""

    def make(self, path: str) -> None:
        """Make a store at `path` with the same content.

        Raises:
            NotAStore: something is there already.
            StorageError: it cannot be made, or a blob of the template is not there any more.
        """

    def made_at(self, path: str) -> Made:
        """The store at `path`, which has just been made, to be asked later what became of it.

        Raises:
            StorageError: it is not there any more.
        """


class Made(Protocol):
    """A store that was made of a template."""

    def is_as_made(self) -> bool:
        """Whether nothing in it has changed, and nobody holds a lease; False where in doubt."""

    def errors(self) -> list[Finding]:
        """What a check of it, without content, finds of level `error`.

        What the template had, and is here still as it was made, is believed and not read again.

        Raises:
            as `Checks.check`.
        """
