"""Which stored layers can be read."""

from __future__ import annotations

from casstore.errors import Damaged, Unsupported
from casstore.model.mediatype import is_encrypted
from casstore.model.state import BROKEN, SETTLED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.model.kept import LayerRecord


def require_readable(record: LayerRecord) -> None:
    """Let pass a layer that is in the clear, and known to be what its diff ID says.

    Raises:
        Unsupported: the layer is encrypted, or nobody has settled what is in it.
        Damaged: it is known not to decompress.
    """
    if is_encrypted(record.media_type):
        raise Unsupported(f"layer {record.digest} is encrypted")
    if record.state == BROKEN:
        raise Damaged(f"layer {record.digest} does not decompress to its end")
    if record.state != SETTLED:
        raise Unsupported(f"layer {record.digest} is not settled")
