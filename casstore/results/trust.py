"""What signing and verifying found."""

from __future__ import annotations

from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.model.digest import Digest
    from casstore.model.reference import Reference


class Signed(Value):
    """An image that was signed."""

    name: Reference  # as it was meant
    digest: Digest  # of the manifest that is signed
    artifact: Reference | None  # the tag of the signatures; None for a referrer
    manifest: Digest  # of the artifact


class Verified(Value):
    """An image with a good signature."""

    name: Reference
    digest: Digest  # of the manifest
    payloads: tuple[bytes, ...]  # JSON, of each good signature
