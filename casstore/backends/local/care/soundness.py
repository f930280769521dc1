"""Whether the database can be believed before anything irreversible follows from it.

SQLite reads on in a damaged page as if it were an empty one: rows are missing then, and nothing
says so. A blob whose row is missing looks like one that nobody needs. So who is about to remove
what the database does not know, or to correct one table by another, asks SQLite first to look at
every page.

Source: sqlite.org/pragma.html, "PRAGMA quick_check".
"""

from __future__ import annotations

from casstore.backends.local import schema
from casstore.backends.local.tables import TABLES
from casstore.errors import CasstoreError, Damaged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from casstore.backends.local.directory import LocalStore
    from casstore.backends.local.schema import Connection

REBUILD = "run: casstore fsck --rebuild"
_SOUND = "ok"


def database_problems(connection: Connection, most: int = 10) -> list[str]:
    """What SQLite finds wrong in the whole database, a line each, at most `most`.

    Raises:
        schema.Error: it is so damaged that SQLite cannot even look.
    """
    lines = [
        line
        for (answer,) in connection.execute(f"PRAGMA quick_check({most:d})").fetchall()
        for line in answer.splitlines()
        if line != _SOUND and not line.startswith("***")  # "*** in database main ***"
    ]
    return lines[:most]


def misfit(connection: Connection, tables: Iterable[str] = TABLES) -> str | None:
    """A column that has a value of another type than is declared, of which SQLite says nothing.

    A flipped bit in the head of a row makes one. Tables and columns that are missing, as in a
    database of an older version, are passed over.
    """
    for table in tables:
        there = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
        wrong = {
            name: f"typeof({name}) NOT IN ({_allowed(name, declared)})"
            for name, declared in TABLES[table].items()
            if declared and name in there
        }
        if not wrong:
            continue
        cases = " ".join(f"WHEN {test} THEN '{name}'" for name, test in wrong.items())
        row = connection.execute(
            f"SELECT CASE {cases} END FROM {table} WHERE {' OR '.join(wrong.values())} LIMIT 1"  # noqa: S608 - all parts are constants
        ).fetchone()
        if row is not None:
            return f"{table}.{row[0]}"
    return None


def _allowed(name: str, declared: str) -> str:
    kinds = [declared.partition(" ")[0].lower()]
    if name == "labels":
        kinds.append("blob")  # as JSON, where they cannot be joined
    if "NOT NULL" not in declared and "PRIMARY KEY" not in declared:
        kinds.append("null")
    return ", ".join(f"'{kind}'" for kind in kinds)


def require_sound(connection: Connection) -> None:
    """Raises Damaged if SQLite finds the database damaged."""
    try:
        problems = database_problems(connection, 1)
        if not problems and (column := misfit(connection, ("blob",))) is not None:
            problems = [f"a value of another type in {column}"]
    except Damaged as error:
        raise Damaged(f"nothing is removed: {error}") from None
    if problems:
        raise Damaged(f"nothing is removed, for casstore.db is damaged ({problems[0]}); {REBUILD}")


def is_damaged(disk: LocalStore) -> bool:
    """Whether there is a database that opens and is damaged within; the lock is held or not.

    One that does not open at all is no matter of this: every change makes it anew.
    """
    try:
        connection = disk.connect_as_is()
    except CasstoreError:
        return False
    try:
        return bool(database_problems(connection, 1))
    except schema.Error:
        return True
    finally:
        connection.close()
