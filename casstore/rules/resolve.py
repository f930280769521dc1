"""From an IMAGE argument to one image: a name, a name with digest, an ID or a prefix of one.

Source: dockerd 20.10, as recorded; a name beats an ID prefix, and an ambiguous prefix is
`No such image`.
"""

from __future__ import annotations

from casstore.errors import NotFound
from casstore.model.digest import PREFIX, Digest, is_hex, is_hex64
from casstore.model.reference import Name, parse_name
from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.ports.view import StoreView


class Found(Value):
    """The image that an argument means."""

    image: Digest
    name: Name | None  # None where the argument was an ID or a prefix of one
    by_id: bool  # Docker acts "by ID" whenever the text is a prefix of the ID, even of `sha256:`


def resolve(view: StoreView, argument: str) -> Found:
    """Find the image that `argument` means.

    Raises:
        InvalidReference: the argument is neither an ID nor a well-formed name.
        NotFound: nothing matches, or an ID prefix matches several images.
    """
    digits = argument.removeprefix(PREFIX)
    if is_hex64(digits):
        image = Digest.of_hex(digits)
        if not view.has_image(image):
            raise NotFound(f"No such image: {image}")
        return Found(image, None, by_id=True)
    name = parse_name(argument)
    named = view.image_named(name.reference)
    if named is not None:
        by_id = named.hex.startswith(argument) or named.startswith(argument)
        return Found(named, name, by_id)
    if is_hex(digits) and len(digits) < 64:
        matches = view.images_with_prefix(digits)
        if len(matches) == 1:
            return Found(matches[0], None, by_id=True)
    raise NotFound(f"No such image: {name.familiar}")
