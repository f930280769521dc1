"""What listings and looks at one image show."""

from __future__ import annotations

from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime

    from casstore.model.digest import Digest
    from casstore.model.reference import Reference


class PlatformRow(Value):
    """One image of an index."""

    platform: str  # `linux/arm64`
    id: Digest  # image ID: the digest of its config
    manifest: Digest
    media_type: str  # of the manifest
    size: int  # file bytes of its layers


class ImageSummary(Value):
    """One image of a listing."""

    id: Digest
    names: tuple[Reference, ...]  # those to show
    parent: Digest | None
    created: int | None
    size: int  # file bytes of all layers
    own_size: int  # file bytes of the layers it adds to its parent
    children: int
    labels: tuple[tuple[str, str], ...]
    pinned: bool = False
    # Whether every layer was read, so that its files were counted. Of one that was not, the bytes
    # as stored are in the sizes.
    settled: bool = True

    @property
    def created_at(self) -> datetime | None:
        """`created` as a datetime in UTC."""
        from casstore.model.datetimes import datetime_or_none

        return datetime_or_none(self.created)


class HistoryRow(Value):
    """One step of an image's history."""

    id: Digest | None  # the image or recorded ancestor that ends with this step
    created: int | None
    created_by: str
    size: int
    comment: str
    tags: tuple[Reference, ...]

    @property
    def created_at(self) -> datetime | None:
        """`created` as a datetime in UTC."""
        from casstore.model.datetimes import datetime_or_none

        return datetime_or_none(self.created)


class Image(Value):
    """An image, as `Store.get` finds it."""

    id: Digest
    names: tuple[Reference, ...]
    parent: Digest | None
    created: int | None
    size: int
    labels: tuple[tuple[str, str], ...]
    os: str
    architecture: str
    variant: str
    manifests: tuple[Digest, ...]
    layers: tuple[Digest, ...]  # of the first manifest, bottom first, as stored
    arrived: int | None  # when the store took it in; None where nobody knows
    settled: bool  # as of ImageSummary

    @property
    def created_at(self) -> datetime | None:
        """`created` as a datetime in UTC."""
        from casstore.model.datetimes import datetime_or_none

        return datetime_or_none(self.created)

    @property
    def arrived_at(self) -> datetime | None:
        """`arrived` as a datetime in UTC."""
        from casstore.model.datetimes import datetime_or_none

        return datetime_or_none(self.arrived)
