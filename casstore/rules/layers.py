"""Which layer a digest means."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.model.digest import Digest
    from casstore.model.kept import LayerRecord
    from casstore.ports.view import View


def layer_by_diff_id(view: View, diff_id: Digest) -> LayerRecord | None:
    """A layer with this diff ID: a settled one if there is one, else one that only promises it."""
    known = view.layer_with_diff_id(diff_id)
    if known is not None:
        return known
    return next((one for one in view.unsettled_layers() if one.diff_id == diff_id), None)
