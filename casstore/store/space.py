"""Space: what takes it, what shares it, and what keeps it."""

from __future__ import annotations

from casstore.clock import current_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.model.parameters import StrPath
    from casstore.results.space import DiskUsage, Kept, TreeRow
    from casstore.results.upkeep import StoreFigures
    from casstore.store.session import Session


class Space:
    """Figures, trees and reasons."""

    def __init__(self, session: Session) -> None:
        self._session: Session = session

    def df(self) -> DiskUsage:
        """What is stored, what is shared and what could be freed."""
        from casstore.queries.usage import disk_usage

        return disk_usage(self._session.backend, self._session.view(), current_time())

    def tree(self, *, by: str = "layers") -> list[TreeRow]:
        """Images under what they are built on, in the order in which a tree is drawn.

        Args:
            by: `layers`: under the recorded parent, else under the image or the run of layers
                whose layers are the first of its own; `parent`: recorded parents only.
        """
        from casstore.queries.lineage import image_tree

        return image_tree(self._session.backend, self._session.view(), current_time(), by=by)

    def why(self, argument: str) -> Kept | None:
        """All that keeps an image (by name, ID, prefix) or a blob (by digest, diff ID, prefix).

        Returns:
            None where no such blob is in the store.

        Raises:
            NotFound: a name or a prefix that fits nothing, or several blobs.
        """
        from casstore.queries.keepers import what_keeps

        return what_keeps(self._session.backend, self._session.view(), argument, current_time())

    def report(self, out: StrPath, *, files: bool = False) -> None:
        """Write the store's report to `out`: one HTML page that needs nothing else.

        Args:
            files: read the layers that nobody has looked into, to show what of each later layers
                overwrite or delete. Otherwise that is shown where it is known.

        Raises StorageError: it cannot be written.
        """
        from casstore.model.arguments import path_of
        from casstore.queries.inventory import take_inventory
        from casstore.report.page import write_page
        from casstore.store.reportedlayers import with_layers

        session, target = self._session, path_of(out)
        inventory = take_inventory(session.backend, session.view(), current_time())
        write_page(target, with_layers(session, inventory, read=files))

    def figures(self) -> StoreFigures:
        """The store in a few numbers: bytes, blobs, images, references, the file system."""
        from casstore.gc.facts import figures, read_facts

        snapshot, _ = read_facts(self._session.backend, self._session.view(), {})
        return figures(self._session.backend, snapshot)
