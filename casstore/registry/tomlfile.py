"""TOML files about registries, read with their types checked."""

from __future__ import annotations

from casstore.errors import RegistryError, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MAX_FILE = 1 << 20


def read_toml(path: str, about: str = "", *, needed: bool = False) -> dict[str, Any] | None:
    """What is in a file; None where there is no file, or no key in it is `about` that.

    Most systems have a registries.conf of comments and short names: to import `tomllib` for that
    takes longer than to find nothing new in a registry.

    Raises:
        RegistryError: it cannot be read, is no TOML, or is `needed` and not there.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            data = file.read(MAX_FILE + 1)
    except (FileNotFoundError, NotADirectoryError):
        if needed:
            raise RegistryError(f"there is no file {printable(path)}") from None
        return None
    except OSError as error:
        reason = (error.strerror or "it cannot be read").lower()
        raise RegistryError(f"cannot read {printable(path)}: {reason}") from None
    if len(data) > MAX_FILE:
        raise RegistryError(f"{printable(path)} exceeds the limit of {MAX_FILE} bytes")
    if about and not any(map(_is_about(about.encode()), data.splitlines())):
        return None
    import tomllib

    try:
        return tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise RegistryError(f"{printable(path)} is not TOML: {error}") from None


def _is_about(word: bytes) -> Callable[[bytes], bool]:
    def is_about(line: bytes) -> bool:
        """Whether a line begins a table with the word in its name, or such an array."""
        line = line.lstrip()
        if line.startswith(b"["):
            return word in line
        key, _, value = line.partition(b"=")
        is_key = key.strip(b" \t\"'").startswith(
            word
        )  # an alias can have any name, and has a string
        return is_key and value.lstrip().startswith((b"[", b"{"))

    return is_about


def tables(table: dict[str, Any], key: str, file: str) -> list[dict[str, Any]]:
    """An array of tables. Raises RegistryError."""
    found = table.get(key, [])
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise RegistryError(f"{printable(file)}: {key} is not an array of tables")
    return found


def table_of(table: dict[str, Any], key: str, file: str) -> dict[str, Any]:
    """A table, empty where there is none. Raises RegistryError."""
    found = table.get(key, {})
    if not isinstance(found, dict):
        raise RegistryError(f"{printable(file)}: {key} is not a table")
    return found


def text(table: dict[str, Any], key: str, file: str) -> str:
    """A string, empty where there is none. Raises RegistryError."""
    found = table.get(key, "")
    if not isinstance(found, str):
        raise RegistryError(f"{printable(file)}: {key} is not a string")
    return found


def boolean(table: dict[str, Any], key: str, file: str) -> bool:
    """True or false, false where it is not said. Raises RegistryError."""
    found = table.get(key, False)
    if not isinstance(found, bool):
        raise RegistryError(f"{printable(file)}: {key} is neither true nor false")
    return found


def texts(table: dict[str, Any], key: str, file: str) -> list[str]:
    """A string, or an array of strings. Raises RegistryError."""
    found = table.get(key, [])
    found = [found] if isinstance(found, str) else found
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise RegistryError(f"{printable(file)}: {key} is neither a string nor an array of strings")
    return found
