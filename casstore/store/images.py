"""Images: listed, and looked at one by one."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from casstore.model.parameters import Several
    from casstore.results.images import HistoryRow, Image, ImageSummary, PlatformRow
    from casstore.store.session import Session


class Images:
    """Listing and inspecting."""

    def __init__(self, session: Session) -> None:
        self._session: Session = session

    def images(
        self, *, all: bool = False, filters: Several[str] = (), patterns: Several[str] = ()
    ) -> list[ImageSummary]:
        """List images, newest first.

        Args:
            all: untagged parents too.
            filters: `dangling=`, `label=`, `before=`, `since=`, `reference=`, `until=` ...
            patterns: reference patterns; an image is listed with the names that fit any.
        """
        return list(self.each_image(all=all, filters=filters, patterns=patterns))

    def each_image(
        self, *, all: bool = False, filters: Several[str] = (), patterns: Several[str] = ()
    ) -> Iterator[ImageSummary]:
        """As `images`, one after the other; the store is to stay open meanwhile."""
        from casstore.queries.imagelist import list_images

        if filters != () or patterns != ():
            from casstore.model.arguments import several

            filters, patterns = several(filters, "filters"), several(patterns, "patterns")
        view = self._session.view()
        chosen = None
        if filters or patterns:
            from casstore.change.removal import parsed_filters

            chosen = parsed_filters(view, filters, patterns=patterns)
        return list_images(view, chosen, everything=all)

    def image_ids(self, *, all: bool = False, digits: int = 64) -> Iterator[list[str]] | None:
        """The first hex digits of image IDs, one for each name, many at a time, newest first.

        As `images` has them, and quickly. None where names by digest make rows and names differ.
        """
        return self._session.backend.listed_ids(digits=digits, everything=all)

    def names(self, prefix: str = "", most: int = 1000) -> list[str]:
        """Names (in their familiar form) that start with `prefix`, sorted, at most so many."""
        from casstore.queries.completion import names_starting

        return names_starting(self._session.view(), prefix, most)

    def get(self, image: str) -> Image:
        """One image by name, ID or ID prefix. Raises NotFound."""
        from casstore.queries.imagelist import get_image

        return get_image(self._session.view(), image)

    def history(self, image: str) -> list[HistoryRow]:
        """The steps an image was made of, newest first. Raises NotFound."""
        from casstore.queries.history import image_history

        return image_history(self._session.view(), self._session.backend.blobs, image)

    def inspect(self, image: str, *, platform: str | None = None) -> dict[str, Any]:
        """An image in the shape of `docker inspect`.

        Args:
            image: a name, ID, ID prefix, or `repository@digest`.
            platform: `os/architecture[/variant]`: look at the image for it in an index.

        Raises:
            NotFound: no such image, or it is not there for the platform.
        """
        from casstore.queries.inspection import inspect_image

        wanted = None
        if platform:
            from casstore.model.platform import parse_platform

            wanted = parse_platform(platform)
        return inspect_image(self._session.view(), self._session.backend.blobs, image, wanted)

    def platforms(self, image: str) -> list[PlatformRow]:
        """The images that an index holds, one a platform; nothing for any other image.

        Raises NotFound.
        """
        from casstore.queries.platforms import platforms_of
        from casstore.rules.resolve import resolve

        view = self._session.view()
        return platforms_of(view, self._session.backend.blobs, resolve(view, image).image)
