"""Whom damage hurts."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.model.digest import Digest
    from casstore.ports.view import View


def hurt_by(view: View, blob: Digest) -> str:
    """The images that need a blob, for people."""
    hurt = []
    for image in view.images_needing(blob):
        names = [one.name.familiar for one in view.references_of(image)]
        hurt.append(names[0] if names else image.short)
    return ", ".join(hurt) or "the trash"
