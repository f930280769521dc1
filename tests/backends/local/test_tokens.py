"""A token says that its process lives: the kernel keeps its lock for as long, and not longer."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from casstore.backends.local import locks
from casstore.backends.local.tokens import Token, is_held, lock_dead, tokens
from tests.backends.local.forking import are_open, child, open_many

# From 3.12 on Python warns of every fork beside a thread, of which pytest-xdist has one.
pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")


@pytest.fixture
def token(tmp_path: Path) -> Iterator[Token]:
    token = Token(str(tmp_path), "load")
    yield token
    token.release()


def second_name(token: Token) -> str:
    """A name of the token's file that stays when the token is released."""
    name = f"{token.path}.kept"
    os.link(token.path, name)
    return name


def test_a_token_that_is_released_is_no_longer_locked(token: Token) -> None:
    kept = second_name(token)
    assert is_held(kept)
    token.release()

    assert not is_held(kept)


def test_a_release_closes_nothing_else(token: Token) -> None:
    token.release()
    others = open_many()
    token.release()

    assert are_open([0, *others])
    for one in others:
        os.close(one)


def test_a_child_does_not_hold_what_its_parent_has_released(token: Token) -> None:
    kept = second_name(token)
    with child(lambda: True):
        token.release()

        assert not is_held(kept)


def test_a_child_releases_nothing_of_its_parent_s(token: Token) -> None:
    def release() -> bool:
        others = open_many()
        token.release()
        return are_open(others)

    with child(release):
        assert is_held(token.path)


def test_a_child_inherits_a_token_until_it_releases_it(tmp_path: Path) -> None:
    token = Token(str(tmp_path), "lease", inherited=True)
    kept = second_name(token)

    def release() -> bool:
        held = is_held(kept)
        token.release()
        return held

    with child(lambda: True):
        token.release()
        assert is_held(kept)
    assert not is_held(kept)
    token = Token(str(tmp_path), "lease", inherited=True)
    kept = second_name(token)
    with child(release):
        assert is_held(token.path)
        token.release()
        assert not is_held(kept)


def test_what_a_child_opens_in_the_place_of_a_token_stays_open_in_its_own_child(
    token: Token,
) -> None:
    def grandchild() -> bool:
        others = open_many()
        with child(lambda: are_open(others)):
            return True

    with child(grandchild):
        assert is_held(token.path)


def test_what_a_child_must_not_hold_is_closed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    descriptors = open_many()
    monkeypatch.setattr(locks, "to_close", set(descriptors))
    locks._unlock_in_child()  # as in a forked child

    assert not any(are_open([one]) for one in descriptors)
    assert locks.to_close == set()


def test_what_is_opened_in_the_place_of_a_token_stays_open_in_a_child(token: Token) -> None:
    token.release()
    others = open_many()
    with child(lambda: are_open(others)):
        pass
    for one in others:
        os.close(one)


def test_a_process_without_standard_input_has_tokens_as_any_other(tmp_path: Path) -> None:
    before = os.dup(0)
    os.close(0)
    try:
        token = Token(str(tmp_path), "load")  # its descriptor is 0
        kept = second_name(token)
        token.release()

        assert not os.path.exists(token.path)
        assert not is_held(kept)
    finally:
        os.dup2(before, 0)
        os.close(before)


def test_tokens_come_by_name_and_with_their_prefix(tmp_path: Path) -> None:
    names = [f"load-{number:02}.lock" for number in range(20)]
    for name in [*names[10:], *names[:10], "lease-1.lock", "load-1", "load"]:
        (tmp_path / name).touch()

    assert list(tokens(str(tmp_path), "load")) == [(str(tmp_path / name), False) for name in names]


def test_there_are_no_tokens_where_there_is_no_directory(tmp_path: Path) -> None:
    assert list(tokens(str(tmp_path / "nothing"))) == []


def test_a_link_to_what_somebody_holds_is_no_token(token: Token, tmp_path: Path) -> None:
    link = tmp_path / "link.lock"
    link.symlink_to(token.path)

    assert not is_held(str(link))


def test_a_link_to_what_nobody_holds_is_no_dead_token(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    link = tmp_path / "link.lock"
    link.symlink_to(tmp_path / "file")

    assert lock_dead(str(link)) is None


def test_nobody_waits_for_a_fifo_among_the_tokens(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.lock")

    assert list(tokens(str(tmp_path))) == [(str(tmp_path / "fifo.lock"), False)]


def test_a_dead_token_is_locked_by_one_process_at_a_time(tmp_path: Path) -> None:
    path = str(tmp_path / "load-1.lock")
    assert lock_dead(path) is None
    Path(path).touch()
    assert not is_held(path)  # and who has looked holds nothing

    first = lock_dead(path)
    assert first is not None
    assert is_held(path)
    before = len(os.listdir("/proc/self/fd"))
    assert lock_dead(path) is None
    assert len(os.listdir("/proc/self/fd")) == before
    os.close(first)
    assert not is_held(path)
