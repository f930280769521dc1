"""A record of index.json."""

from __future__ import annotations

from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.model.descriptor import Descriptor
    from casstore.model.digest import Digest
    from casstore.model.reference import Reference


class Published(Value):
    """One descriptor of index.json: a name (or none), what it names, what is known of the image."""

    name: Reference | None
    top: Descriptor
    parent: Digest | None
    pinned: bool = False
    place: float = 1.0  # about where in the list the record is: 0 its start, 1 its end
    made: int = 0  # grows from name to name, in the order in which they were made; 0 without one
    written: str | None = None  # how another tool wrote the name, if not in its familiar form
