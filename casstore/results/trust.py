"""What signing, verifying and a search for attestations found."""

from __future__ import annotations

from casstore.model.attestationtypes import BOM, PLAIN
from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

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


class Attestation(Value):
    """What somebody says about an image: a statement, an SBOM, or a signature in a bundle.

    It counts for the image only where `of_image` is true. Nothing of it is proved unless
    `verified` is true.
    """

    found: str  # "index", "referrer" or "tag"
    name: Reference | None  # of the artifact that has it, where a tag attaches that
    attached: Digest  # the manifest or index of the image that it is attached to
    manifest: Digest  # of the artifact
    digest: Digest  # of the document
    size: int  # bytes of the document
    media_type: str  # of the document
    predicate_type: str  # empty where there is no predicate
    subjects: tuple[Digest, ...]  # what it says that it is about
    of_image: bool  # a subject is a manifest of this image; of a plain SBOM: it is attached to one
    signed: bool  # it has a signature, good or not
    verified: bool | None  # it is of this image, and signed by the key; None: no key was given
    problem: str  # why it cannot be read; empty where it can
    statement: bytes  # the in-toto statement, or the plain SBOM, as it was written

    @property
    def is_statement(self) -> bool:
        """Whether this is an in-toto statement, not a plain document."""
        return bool(self.statement) and self.media_type not in PLAIN

    @property
    def predicate_bytes(self) -> bytes:
        """The predicate as it is written; a plain document is its own predicate."""
        if not self.is_statement:
            return self.statement
        from casstore.model.intoto import predicate_of

        return predicate_of(self.statement)

    @property
    def predicate(self) -> dict[str, Any]:
        """The predicate, parsed.

        Raises:
            Refused: it is not a JSON object, as in an SBOM in SPDX's tag-value form.
        """
        from casstore.model import document
        from casstore.model.document import Fields
        from casstore.model.intoto import MAX_STATEMENT

        name = f"predicate of {self.digest}"
        data = self.predicate_bytes.removeprefix(BOM)
        return Fields(document.parse(data, name, limit=MAX_STATEMENT), name).values
