"""The settings of a store, as listed."""

from __future__ import annotations

from casstore.startup.value import Value


class SettingValue(Value):
    """A setting of a store."""

    name: str
    value: str  # in force
    default: str
    is_set: bool
    help: str
