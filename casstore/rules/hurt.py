"""Whom damage hurts."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.model.digest import Digest
    from casstore.ports.view import View


def hurt_by(view: View, blob: Digest) -> str:
    """The images that need a blob, for people.

    An image in several forms is told by a name of a form that needs it.
    """
    above = {blob}
    ahead = [blob]
    while ahead:
        new = set(view.needed_by(ahead.pop())) - above
        above |= new
        ahead += new
    hurt = []
    for image in view.images_needing(blob):
        attached = view.references_of(image)
        names = [one.name for one in attached if one.manifest in above]
        names += [one.name for one in attached]
        hurt.append(names[0].familiar if names else image.short)
    return ", ".join(hurt) or "the trash"
