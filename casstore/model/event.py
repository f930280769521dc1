"""Events: what happened to the images of a store, and when.

`untag` and `delete` are events of their own, as with Docker. A name that comes is told by the event
of what brought it (GIVING), and so is a name that moves from one image to another. So the names of
a store follow from its events.

Source of the shapes: docker/cli, cli/command/system/events.go; moby, daemon/events.go.
"""

from __future__ import annotations

from casstore.model.keys import (
    ADOPT,
    COPY,
    DECRYPT,
    ENCRYPT,
    IMPORT,
    LOAD,
    PULL,
    PUSH,
    RESTORE,
    SIGN,
    TAG,
)
from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime

    from casstore.model.digest import Digest
    from casstore.model.reference import Reference

# Docker keeps 256, in the memory of its daemon. These are as many as a busy CI machine makes in a
# day or two, and take half a megabyte of the index.
MOST = 5000
# As long as what is put aside is kept (ports/backend.py): who looks for what happened does so soon.
DAYS = 30
AGE = DAYS * 24 * 3600 * 1_000_000_000

# Actions after which the name of the event points to its image.
GIVING = frozenset((TAG, LOAD, IMPORT, PULL, COPY, SIGN, ENCRYPT, DECRYPT, RESTORE, ADOPT))

IMAGE = "image"  # the type that Docker gives all of these
LOCAL = "local"  # the scope


class Event(Value):
    """Something that happened."""

    happened: int  # ns
    action: str
    image: Digest | None  # image ID; None where the event is of the store (prune, gc)
    name: Reference | None  # the name that came or went, or by which the image was meant
    attributes: dict[str, str]  # `reclaimed` (bytes), `lease` (its name), `entries` (a number)
    generation: int | None  # of the index, with this change; None: the index stayed as it was

    @property
    def happened_at(self) -> datetime:
        """`happened` as a datetime in UTC."""
        from casstore.model.datetimes import datetime_of

        return datetime_of(self.happened)

    @property
    def id(self) -> str:
        """Docker's `Actor.ID`: the image ID; of `pull` and `push` the name; else empty."""
        if self._is_by_name:
            assert self.name is not None
            return self.name.familiar
        return str(self.image) if self.image is not None else ""

    @property
    def actor_attributes(self) -> dict[str, str]:
        """Docker's `Actor.Attributes`, by key.

        `name` is the name; of `pull` and `push` the repository, and `image` is the image ID then;
        without a name it is the image ID.
        """
        given = dict(self.attributes)
        if self._is_by_name:
            from casstore.model.reference import familiar_name

            assert self.name is not None
            given["name"] = familiar_name(self.name.repository)
            if self.image is not None:
                given["image"] = str(self.image)
        elif self.name is not None:
            given["name"] = self.name.familiar
        elif self.image is not None:
            given["name"] = str(self.image)
        return dict(sorted(given.items()))

    @property
    def _is_by_name(self) -> bool:
        return self.action in (PULL, PUSH) and self.name is not None
