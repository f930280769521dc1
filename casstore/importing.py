"""import: a root file system tar becomes an image, on top of nothing or of a parent."""

from __future__ import annotations

import sys

from casstore.errors import InvalidReference, NotFound, Refused, UsageError, quote
from casstore.model.record import Arrival
from casstore.model.reference import parse_name, parse_target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import IO

    from casstore.disk.ingest import Ingest
    from casstore.disk.sqliteview import SqliteView
