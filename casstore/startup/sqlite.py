"""SQLite's C module without the package around it, and without `functools`.

The package `sqlite3` is its C module, and datetime for column types that are not used here. The
module itself wants `functools` for one thing, each connection's cache of compiled statements, and
that is written in C too: `functools` and what it imports in turn are a fifth of what an rmi takes
beyond the start of Python. So where nothing has imported it yet, a stand-in lends its one function
for as long as the module is imported.

Gain: 2.9 ms of an rmi for `functools`, 2.0 for the package. Tried on CPython 3.11, 3.12 and 3.13;
where it does not work, the package is imported as usual.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from sqlite3 import Cursor, Error
    from types import ModuleType
else:
    import sys

    def _functools() -> ModuleType:
        from _functools import _lru_cache_wrapper

        stand_in = type(sys)("functools")
        stand_in.lru_cache = lambda size: (
            lambda compile_: _lru_cache_wrapper(compile_, size, 0, lambda *counts: counts)
        )
        return stand_in

    def _lean_sqlite() -> ModuleType:
        sys.modules["functools"] = _functools()
        try:
            import _sqlite3
        finally:
            del sys.modules["functools"]
        _sqlite3.connect(":memory:").close()  # makes such a cache
        return _sqlite3

    def _sqlite() -> ModuleType:
        if "functools" not in sys.modules:
            try:
                return _lean_sqlite()
            except (ImportError, AttributeError, TypeError):  # an interpreter made otherwise
                sys.modules.pop("_sqlite3", None)
        try:
            import _sqlite3
        except ImportError:
            import sqlite3 as _sqlite3
        return _sqlite3

    sqlite3 = _sqlite()
    Cursor = sqlite3.Cursor
    # SQLite quotes what is damaged in its message, which Python may not be able to decode.
    Error = (sqlite3.Error, UnicodeDecodeError)

__all__ = ["Cursor", "Error", "sqlite3"]
