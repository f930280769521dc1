"""What a forked child does with the databases that its parent has open: it lets go of them.

SQLite's locks are the process's, so a child has none of those that its copy of a connection counts
on; and what a copy in the middle of a transaction takes back, it takes back in memory that is
shared with the parent (sqlite.org/howtocorrupt.html, "Carrying an open database connection across
a fork()"). A child opens its own. For that its copies must be closed: SQLite believes that the
locks of all connections to one file are held as soon as one of them has them.
"""

from __future__ import annotations

from casstore.errors import StorageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.backends.local.schema import Connection

_inherited: list[Connection] = []
_forbidden: list[Connection] = []  # the parent was changing the store


def leave_to_parent(connection: Connection | None) -> None:
    """Use a connection of the parent no more. Called in every forked child: it must not wait.

    Another thread of the parent may have been in the middle of a call of SQLite, whose mutexes stay
    locked here for ever.
    """
    if connection is None:
        return
    if connection.in_transaction:
        _keep_for_ever(connection)
        _forbidden.append(connection)
    else:
        _inherited.append(connection)


def close_inherited() -> None:
    """Close what was inherited, before this process opens a database of its own.

    Raises:
        StorageError: the parent was in the middle of a change.
    """
    if _forbidden:
        raise StorageError(
            "this process was forked while its parent was changing a store, and cannot use one"
        )
    while _inherited:
        _inherited.pop().close()


def _keep_for_ever(connection: Connection) -> None:
    """Leave one reference more, so that not even the end of the interpreter closes it."""
    try:
        import ctypes
    except ImportError:  # an interpreter without it: os._exit, as multiprocessing's, still does not
        return
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
