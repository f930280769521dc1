"""The part of Store that looks closely at one image."""

from __future__ import annotations

from casstore.opening import OpenStore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from casstore.results import PlatformRow


class LookingStore(OpenStore):
    """A store whose images can be inspected."""

    def inspect(self, image: str, *, platform: str | None = None) -> dict[str, Any]:
        """An image in the shape of `docker inspect`.

        Args:
            image: a name, ID, ID prefix, or `repository@digest`.
            platform: `os/architecture[/variant]`: look at the image for it in an index.

        Raises:
            NotFound: no such image, or it is not there for the platform.
        """
        from casstore.model.platform import parse_platform
        from casstore.queries.inspection import inspect_image

        wanted = parse_platform(platform) if platform else None
        return inspect_image(self._view(), self.disk.blobs, image, wanted)

    def platforms(self, image: str) -> list[PlatformRow]:
        """The images that an index holds, one a platform; nothing for any other image.

        Raises NotFound.
        """
        from casstore.queries.platforms import platforms_of
        from casstore.rules.resolve import resolve

        view = self._view()
        return platforms_of(view, self.disk.blobs, resolve(view, image).image)
