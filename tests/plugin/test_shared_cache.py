"""What tests get from the cache, whatever happens to it: interruptions, rights, odd paths."""

from __future__ import annotations

import builtins
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from casstore.pytest_plugin.cache import Cache
from casstore.store import Store
from tests.plugin.conftest import ARCHIVES, PLUGIN, WITHOUT, Run

STEP = 7  # of the calls that are interrupted, each so many-th, for a test of seconds
SINGLE = str(ARCHIVES / "single.tar")


def is_sound(cache: Cache, path: Path) -> bool:
    """Whether the cache gives a store at a path that is whole, and holds the archive."""
    with cache.new_store(str(path), [SINGLE]) as store:
        return (
            store.get("shop/single:1.0").os == "linux"
            and store.check(content=True).findings == ()
            and cache.faults(store) == []
        )


class Interruption:
    """Interrupts at one of the calls that change or read files, counted from when it is set."""

    def __init__(self) -> None:
        self.left = 0

    def of(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def interrupted(*values: Any, **named: Any) -> Any:
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt
            return call(*values, **named)

        return interrupted


@pytest.fixture
def interruption(monkeypatch: pytest.MonkeyPatch) -> Iterator[Interruption]:
    made = Interruption()
    with monkeypatch.context() as patch:
        for name in ("open", "link", "mkdir", "rename", "scandir", "unlink", "chmod"):
            patch.setattr(os, name, made.of(getattr(os, name)))
        patch.setattr(builtins, "open", made.of(builtins.open))
        yield made


@pytest.mark.parametrize("worker", ["", "gw0"])
def test_an_interruption_anywhere_leaves_a_cache_that_is_used_as_ever(
    tmp_path: Path, interruption: Interruption, worker: str
) -> None:
    done = False
    for number in range(1, 1000, STEP):
        cache = Cache(str(tmp_path / f"cache {number}"), worker=worker)
        interruption.left = number
        try:
            cache.new_store(str(tmp_path / f"interrupted {number}"), [SINGLE]).close()
            done = interruption.left > 0
        except KeyboardInterrupt:
            pass
        interruption.left = 0
        if done:
            break
        assert is_sound(cache, tmp_path / f"after {number}")

    assert done


@pytest.mark.usefixtures("archives")
def test_an_interrupted_load_is_done_again_by_the_next_test(run: Run) -> None:
    result = run("""
        import pytest, signal
        from casstore import Store

        load = Store.load

        @pytest.mark.casstore_image("archives/twins.tar")
        def test_a_is_interrupted(casstore_store, casstore_load, monkeypatch):
            def interrupted(store, source, **options):
                load(store, source, **options)
                signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored here
                signal.raise_signal(signal.SIGINT)
            monkeypatch.setattr(Store, "load", interrupted)
            with pytest.raises(KeyboardInterrupt):
                casstore_load("archives/single.tar")

        def test_b_loads_it(casstore_store, casstore_load):
            casstore_load("archives/single.tar")
            casstore_store.get("shop/single:1.0")
            assert casstore_store.check(content=True).findings == ()
    """)

    result.assert_outcomes(passed=2)


@pytest.mark.usefixtures("archives")
def test_a_session_that_is_interrupted_says_no_more_than_that(
    run: Run, pytester: pytest.Pytester
) -> None:
    pytester.makeini("[pytest]\n")
    pytester.makepyfile("""
        import pytest, signal

        @pytest.mark.casstore_image("archives/single.tar")
        def test_it(casstore_store):
            casstore_store.remove(["shop/single:1.0"])
            signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored here
            signal.raise_signal(signal.SIGINT)
    """)
    result = pytester.runpytest_subprocess(*PLUGIN, *WITHOUT)

    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*KeyboardInterrupt*"])
    result.stdout.no_fnmatch_line("*unclean*")


@pytest.mark.usefixtures("archives")
def test_a_cache_that_nobody_may_write_to_any_more_gives_stores_as_ever(run: Run) -> None:
    result = run("""
        import os, pytest

        pytestmark = pytest.mark.casstore_image("archives/single.tar")

        @pytest.fixture(scope="module")
        def cache(tmp_path_factory):
            cache = tmp_path_factory.getbasetemp() / "casstore-cache"
            yield cache
            for folder, _, _ in os.walk(cache):
                os.chmod(folder, 0o755)

        def test_a_takes_the_rights_away(casstore_store, casstore_load, cache):
            casstore_load("archives/twins.tar")
            for folder, _, files in os.walk(cache, topdown=False):
                for name in files:
                    os.chmod(os.path.join(folder, name), 0o444)
                os.chmod(folder, 0o555)

        def test_b_has_a_store(casstore_store):
            casstore_store.remove(["shop/single:1.0"])

        def test_c_loads(casstore_store, casstore_load):
            casstore_load("archives/twins.tar")
            assert casstore_store.check(content=True).findings == ()
    """)

    result.assert_outcomes(passed=3)


@pytest.mark.usefixtures("archives")
def test_a_path_may_have_spaces_and_what_a_uri_means_otherwise(
    run: Run, pytester: pytest.Pytester
) -> None:
    result = run(
        """
        import pytest

        @pytest.mark.casstore_image("archives/single.tar")
        @pytest.mark.parametrize("turn", range(2))
        def test_it(casstore_store, casstore_load, turn):
            assert " " in casstore_store.path
            casstore_store.remove(["shop/single:1.0"])
            casstore_load("archives/twins.tar")
            assert casstore_store.check(content=True).findings == ()
        """,
        f"--basetemp={pytester.path / 'a path? with #1 100% spaces'}",
    )

    result.assert_outcomes(passed=2)


@pytest.mark.usefixtures("archives")
def test_a_test_that_does_nothing_with_its_store_opens_no_database(run: Run) -> None:
    result = run("""
        import pytest, sys

        opened = []
        sys.addaudithook(lambda event, _: event == "sqlite3.connect" and opened.append(event))

        @pytest.mark.casstore_image("archives/single.tar")
        @pytest.mark.parametrize("turn", range(3))
        def test_it(casstore_store, turn):
            if turn == 1:
                assert opened  # to read the archive
                opened.clear()
            if turn == 2:
                assert opened == []  # at the end of the one before, and for this one
    """)

    result.assert_outcomes(passed=3)


def test_what_comes_from_an_entry_that_is_not_sound_is_looked_at_as_a_whole(tmp_path: Path) -> None:
    Cache(str(tmp_path / "cache")).new_store(str(tmp_path / "first"), [SINGLE]).close()
    (index,) = (tmp_path / "cache").glob("*/store/casstore.db")
    with closing(sqlite3.connect(index)) as connection:
        connection.execute("DELETE FROM edge")
        connection.commit()

    cache = Cache(str(tmp_path / "cache"))  # of another process, say
    with cache.new_store(str(tmp_path / "second"), [SINGLE]) as store:
        faults = cache.faults(store)

    assert any("error edge-missing" in line for line in faults)


def test_stores_are_told_apart_by_their_paths(tmp_path: Path) -> None:
    cache = Cache(str(tmp_path / "cache"))
    with (
        cache.new_store(str(tmp_path / "one"), [SINGLE]) as one,
        cache.new_store(str(tmp_path / "two"), [SINGLE]) as two,
    ):
        two.leases.add("kept", "shop/single:1.0")

        assert cache.faults(one) == []
        assert len(cache.faults(two)) == 1


def test_a_durable_store_is_looked_at_likewise(tmp_path: Path) -> None:
    cache = Cache(str(tmp_path / "cache"))
    with cache.new_store(str(tmp_path / "one"), [SINGLE], volatile=False) as store:
        os.unlink(os.path.join(store.path, "index.json"))
        os.mkdir(os.path.join(store.path, "index.json"))

        assert len(cache.faults(store)) == 1


def test_a_store_without_an_archive_begins_empty(tmp_path: Path) -> None:
    cache = Cache(str(tmp_path / "cache"))
    with cache.new_store(str(tmp_path / "one")) as one:
        assert cache.faults(one) == []
        with Store(one.path) as other:
            assert other.images(all=True) == []
