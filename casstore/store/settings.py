"""Settings of a store, for every process that uses it."""

from __future__ import annotations

import builtins

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.results.settings import SettingValue
    from casstore.store.session import Session


class Settings:
    """The settings of a store."""

    def __init__(self, session: Session) -> None:
        self._session: Session = session

    def __repr__(self) -> str:
        return f"<casstore.Settings of {self._session.backend.where!r}>"

    def list(self) -> builtins.list[SettingValue]:
        """Every setting of the store, by name, with the value in force."""
        from casstore.results.settings import SettingValue
        from casstore.rules.settings import SETTINGS, key_of, value_of

        view = self._session.view()
        return [
            SettingValue(name, value_of(view.meta, name), one.default,
                         view.meta(key_of(name)) is not None, one.help)
            for name, one in sorted(SETTINGS.items())
        ]  # fmt: skip

    def set(self, name: str, value: str) -> None:
        """Set a setting of the store, for every process that uses it.

        Raises:
            NotFound: there is no such setting.
            UsageError: it does not take the value.
        """
        from casstore.rules.settings import checked, key_of

        text = checked(name, value)
        with self._session.change() as change:
            change.index.set_meta(key_of(name), text)
            change.commit()

    def unset(self, name: str) -> None:
        """Let the default hold again. Raises NotFound if there is no such setting."""
        from casstore.rules.settings import key_of, setting_named

        key = key_of(setting_named(name).name)
        with self._session.change() as change:
            change.index.drop_meta(key)
            change.commit()
