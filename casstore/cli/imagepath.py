"""`IMAGE:/PATH`: a file of an image, as the command line names it."""

from __future__ import annotations

import os

from casstore.startup.value import Value


class ImagePath(Value):
    """An image, and a path in it."""

    image: str
    path: bytes | None  # with its first slash; None where there is none


def image_path(argument: str) -> ImagePath:
    """What an argument means. No reference has a slash after a colon, so the first `:/` parts it.

    The path is taken as the bytes that were typed, of whatever encoding.
    """
    image, colon, path = argument.partition(":/")
    return ImagePath(image, b"/" + os.fsencode(path) if colon else None)
