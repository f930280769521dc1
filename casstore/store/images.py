"""Images: listed, and looked at one by one."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from casstore.model.parameters import Key, Several
    from casstore.model.platform import Platform
    from casstore.results.images import HistoryRow, Image, ImageSummary, PlatformRow
    from casstore.results.trust import Attestation
    from casstore.store.session import Session
    from casstore.trust.keys import PublicKey


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

        wanted = _platform(platform)
        return inspect_image(self._session.view(), self._session.backend.blobs, image, wanted)

    def attestations(
        self, image: str, *, platform: str | None = None, key: Key | None = None
    ) -> list[Attestation]:
        """Attestations and SBOMs of an image that are in the store.

        From the image's own index (BuildKit), from referrers, and from what a tag attaches to it
        (cosign). One that cannot be read is there, with its `problem`. Nothing is fetched.

        Args:
            image: a name, ID, ID prefix, or `repository@digest`.
            platform: `os/architecture[/variant]`: only those of the image for it in an index.
            key: verify signatures with this public key: its file, as a `pathlib.Path`, or what it
                holds (PEM or DER).

        Raises:
            NotFound: no such image, or it is not there for the platform.
            Refused: the key is none; there are more than a thousand, or 256 MiB of them.
        """
        from casstore.queries.attestations import attestations_of

        return attestations_of(
            self._session.view(),
            self._session.backend.blobs,
            image,
            platform=_platform(platform),
            key=None if key is None else _public(key),
        )

    def sbom(
        self,
        image: str,
        *,
        platform: str | None = None,
        type: str = "",
        digest: str = "",
        key: Key | None = None,
    ) -> Attestation:
        """The one SBOM of an image, of those that are in the store and are of this image.

        Args:
            image: a name, ID, ID prefix, or `repository@digest`.
            platform: which image of an index is meant; by default the only one that is there, else
                this machine's.
            type: `spdx`, `cyclonedx`, or a predicate type, which may be that of something else.
            digest: of the document; its first digits are enough.
            key: take only what this public key has signed; as for `attestations`.

        Raises:
            NotFound: there is none; no such image, or it is not there for the platform.
            Refused: there are several, which the message lists; the key is none.
        """
        from casstore.model.platform import this_machine
        from casstore.queries.sbom import find_sbom

        return find_sbom(
            self._session.view(),
            self._session.backend.blobs,
            image,
            platform=_platform(platform),
            here=this_machine(),
            kind=type,
            digest=digest,
            key=None if key is None else _public(key),
        )

    def platforms(self, image: str) -> list[PlatformRow]:
        """The images that an index holds, one a platform; nothing for any other image.

        Raises NotFound.
        """
        from casstore.queries.platforms import platforms_of
        from casstore.rules.resolve import resolve

        view = self._session.view()
        return platforms_of(view, self._session.backend.blobs, resolve(view, image).image)


def _platform(text: str | None) -> Platform | None:
    if not text:
        return None
    from casstore.model.platform import parse_platform

    return parse_platform(text)


def _public(key: Key) -> PublicKey:
    from casstore.files.namedfile import content_of
    from casstore.trust.keys import read_public_key

    return read_public_key(content_of(key, "key"), "the key")
