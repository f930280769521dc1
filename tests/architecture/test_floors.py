"""Who may use whom: the floors of the house, from the ground up (ARCHITECTURE.md has the map)."""

from __future__ import annotations

import re

from tests.architecture.importgraph import ImportGraph
from tests.architecture.sources import FRONT_DOOR, modules

# A room uses its own modules and rooms on floors above it in this list, which came before it.
# Rooms on one floor do not know each other.
FLOORS = (
    ("errors", "clock"),
    ("startup",),
    ("model",),
    ("progress", "files"),
    ("ports",),
    ("rules",),
    ("results",),
    ("transfer", "trust"),
    ("backends", "crypt", "registry"),
    ("change",),
    ("queries",),
    ("flows", "gc"),
    ("report",),
    ("store",),
    ("server",),
    ("pytest_plugin",),
    ("cli",),
    ("__main__",),
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}

# Third-party packages, and SQL, each in the one place that may name it.
ONLY_IN = {
    "sqlite3": ("backends/local/", "startup/sqlite.py"),
    "_sqlite3": ("startup/sqlite.py",),
    "filelock": ("backends/local/",),
    "zstandard": (
        *("transfer/layerpacker.py", "transfer/zstdframes.py", "transfer/zstdstream.py"),
        "transfer/zstdprefix.py",
    ),
    "isal": ("transfer/gzipstream.py",),
    "gzip": (),
    "zlib": (
        "transfer/gzipstream.py",
        # adler32, as a sum of bytes
        *("transfer/layertar.py", "transfer/tarstream.py", "transfer/tarwriter.py"),
        *("transfer/contentstable.py", "transfer/restartpoints.py"),  # what they keep is packed
        "registry/documents.py",  # an answer that a proxy has packed
        "transfer/similarity.py",  # crc32, to find the same blocks again
    ),
    "cryptography": ("trust/", "crypt/"),
    "h11": ("server/connection.py",),
    "bcrypt": ("server/login.py",),
    "pytest": ("pytest_plugin/",),
    "argparse": ("cli/",),
}


def test_every_room_stands_on_a_floor() -> None:
    rooms = {module.room for module in modules() if module.path != FRONT_DOOR}

    assert rooms <= FLOOR_OF.keys(), "add the new room to FLOORS and to ARCHITECTURE.md"


def test_a_room_uses_only_rooms_of_earlier_floors() -> None:
    breaches = [
        f"{arrow.source.path}:{arrow.statement.line} imports {arrow.target}"
        for arrow in ImportGraph(modules()).arrows
        if arrow.room != arrow.source.room and FLOOR_OF[arrow.room] >= FLOOR_OF[arrow.source.room]
    ]

    assert breaches == []


def test_nothing_but_the_outermost_rooms_imports_the_front_door() -> None:
    users = {module.room for module in modules() if "casstore" in module.imports()}

    assert users <= {"cli", "__main__", "pytest_plugin"}


def test_a_foreign_package_is_named_in_one_place() -> None:
    strays = [
        f"{module.path} imports {name}"
        for module in modules()
        for name in sorted(module.imports())
        if not module.path.startswith(ONLY_IN.get(name.split(".")[0], ("",)))
    ]

    assert strays == []


def test_only_declared_packages_and_the_standard_library_are_imported() -> None:
    import sys

    known = sys.stdlib_module_names | ONLY_IN.keys() | {"casstore"}
    strays = [
        f"{module.path} imports {name}"
        for module in modules()
        for name in sorted(module.imports())
        if name.split(".")[0] not in known
    ]

    assert strays == []


def test_only_the_session_chooses_a_backend() -> None:
    users = {
        module.path
        for module in modules()
        if module.room != "backends"
        and any(name.startswith("casstore.backends") for name in module.imports())
    }

    assert users == {"store/session.py"}


def test_sql_stands_only_in_the_local_backend() -> None:
    sql = re.compile(r"\b(SELECT \w|INSERT (OR \w+ )?INTO|DELETE FROM|PRAGMA \w|BEGIN IMMEDIATE)")
    strays = [
        module.path
        for module in modules()
        if sql.search(module.text) and not module.path.startswith("backends/local/")
    ]

    assert strays == []


def test_at_most_eight_modules_stand_beside_the_rooms() -> None:
    loose = [module.path for module in modules() if "/" not in module.path]

    assert len(loose) <= 8, loose
