"""Which store is meant where nobody says: never one below the working directory by mistake."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def store_path(given: str | None, environ: Mapping[str, str]) -> str:
    """`given`, else $CASSTORE_STORE, else the XDG data directory + /casstore.

    A `~` at the beginning that no shell has expanded is the home directory. Empty where there is
    none: login and logout need no store.
    """
    path = given if given is not None else environ.get("CASSTORE_STORE", "")
    if path and not path.startswith("~"):
        return path
    data = environ.get("XDG_DATA_HOME", "")
    if not path and os.path.isabs(data):  # the XDG specification: a relative path is to be ignored
        return os.path.join(data, "casstore")
    from casstore.model.home import expanded, home_of

    home = home_of(environ)
    if path:
        return expanded(path, home)
    return home and os.path.join(home, ".local", "share", "casstore")
