"""The home directory, and the store that is meant where nobody says."""

from __future__ import annotations

import os
import pwd

import pytest

from casstore.errors import UsageError
from casstore.model.home import expanded, home_of
from casstore.model.storepath import store_path


def account(monkeypatch: pytest.MonkeyPatch, directory: str | None) -> None:
    """What the user database says; None for a user that it does not know."""

    def entry(user: int) -> pwd.struct_passwd:
        assert user == os.getuid()
        if directory is None:
            raise KeyError(user)
        return pwd.struct_passwd(("name", "x", user, user, "", directory, "/bin/sh"))

    monkeypatch.setattr(pwd, "getpwuid", entry)


def test_home_is_what_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    account(monkeypatch, "/from/the/database")

    assert home_of({"HOME": "/some/where"}) == "/some/where"


@pytest.mark.parametrize("environment", [{}, {"HOME": ""}, {"HOME": "relative"}])
def test_without_an_absolute_one_it_is_what_the_user_database_says(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    account(monkeypatch, "/from/the/database")

    assert home_of(environment) == "/from/the/database"


@pytest.mark.parametrize("directory", [None, "", "relative"])
def test_there_may_be_none(directory: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    account(monkeypatch, directory)

    assert home_of({"HOME": "relative"}) == ""


@pytest.mark.parametrize(
    ("path", "result"),
    [("~", "/h"), ("~/a", "/h/a"), ("~user/a", "~user/a"), ("a/~", "a/~"), ("/a", "/a")],
)
def test_a_tilde_at_the_beginning_is_the_home_directory(path: str, result: str) -> None:
    assert expanded(path, "/h") == result


@pytest.mark.parametrize("path", ["~", "~/a"])
def test_a_tilde_is_refused_where_there_is_no_home(path: str) -> None:
    with pytest.raises(UsageError, match=r"and \$HOME is not known$"):
        expanded(path, "")


@pytest.mark.parametrize(
    ("given", "environment", "path"),
    [
        ("/a", {"CASSTORE_STORE": "/b"}, "/a"),
        ("relative", {}, "relative"),
        ("~/a", {"HOME": "/h"}, "/h/a"),
        (None, {"CASSTORE_STORE": "/b", "XDG_DATA_HOME": "/x"}, "/b"),
        (None, {"CASSTORE_STORE": "~/b", "XDG_DATA_HOME": "/x", "HOME": "/h"}, "/h/b"),
        (None, {"XDG_DATA_HOME": "/x", "HOME": "/h"}, "/x/casstore"),
        (None, {"XDG_DATA_HOME": "relative", "HOME": "/h"}, "/h/.local/share/casstore"),
        (None, {"HOME": "/h"}, "/h/.local/share/casstore"),
        (None, {"CASSTORE_STORE": "", "HOME": "/h"}, "/h/.local/share/casstore"),
    ],
)
def test_the_store_is_the_one_given_or_the_variables_or_in_the_data_directory(
    given: str | None, environment: dict[str, str], path: str
) -> None:
    assert store_path(given, environment) == path


def test_without_a_home_no_store_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    account(monkeypatch, None)

    assert store_path(None, {}) == ""
