"""An old copy of casstore.db in a store that publishes on demand.

index.json is withdrawn there and names nothing, so that nothing can be made again from it; and to
gc the blobs of all that came after the copy look like ones that nobody needs. So a file is left
that keeps gc from removing any, until a person has decided.
"""

from __future__ import annotations

from casstore.backends.local.care.listed import DAMAGED, keep_aside
from casstore.backends.local.edits import LocalEdits
from casstore.model.keys import GENERATION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.backends.local.directory import LocalStore
    from casstore.backends.local.schema import Connection

_TEXT = b"""\
casstore.db was replaced by an older copy while index.json was published on demand. Images that came
after that copy are among the blobs without a name; put the newer casstore.db back, or load them
again, then remove this file.
"""


def keep_what_came_since(disk: LocalStore, connection: Connection, noted: int) -> str:
    """Keep gc from removing what the database, older than generation `noted`, does not know.

    The lock is held. The file is written before the generation is, so that after a crash in
    between the next start does all of this again.

    Returns:
        What the user should know.
    """
    name = keep_aside(disk, _TEXT, DAMAGED)
    index = LocalEdits(connection, now=0, hard={})
    try:
        index.begin()
        index.set_meta(GENERATION, noted)
        index.commit()
    finally:
        index.rollback()
    return (
        "casstore.db is older than the last change, as if an old copy had been put back, and"
        " index.json was not published: what came since has no name now. gc removes no blob while"
        f" {name} is there, which says what to do"
    )
