from __future__ import annotations

import pytest

from tests.plugin.conftest import Run

pytest.importorskip("xdist")


@pytest.mark.usefixtures("archives")
def test_workers_read_an_archive_once_between_them(run: Run, pytester: pytest.Pytester) -> None:
    log = pytester.path / "loads.txt"

    result = run(
        f"""
        import pytest
        from casstore import Store

        load = Store.load

        @pytest.fixture(autouse=True)
        def count(monkeypatch):
            def counted(store, source, **options):
                if str(source).endswith("single.tar"):
                    with open({str(log)!r}, "a") as file:
                        print("load", file=file)
                return load(store, source, **options)
            monkeypatch.setattr(Store, "load", counted)

        @pytest.mark.casstore_image("archives/single.tar")
        @pytest.mark.parametrize("turn", range(8))
        def test_it(casstore_store, casstore_image_factory, turn):
            casstore_image_factory(files={{"turn": str(turn)}}, parent="shop/single:1.0", tag="x")
            casstore_store.remove(["x", "shop/single:1.0"])
        """,
        "-n", "2",
    )  # fmt: skip

    result.assert_outcomes(passed=8)
    assert log.read_text().splitlines() == ["load"]


@pytest.mark.usefixtures("archives")
def test_a_test_that_damages_a_blob_spoils_none_of_another_worker(
    run: Run, pytester: pytest.Pytester
) -> None:
    # One test waits for the other within its own, so that both must have a worker.
    result = run(
        f"""
        import os, time
        import pytest

        here = {str(pytester.path)!r}

        def say(what):
            open(os.path.join(here, what), "w").close()

        def wait_for(what):
            until = time.monotonic() + 60
            while not os.path.exists(os.path.join(here, what)) and time.monotonic() < until:
                time.sleep(0.01)

        @pytest.mark.casstore_image("archives/single.tar")
        def test_one_damages_a_blob(casstore_store):
            wait_for("loaded")
            blobs = os.path.join(casstore_store.path, "blobs", "sha256")
            for name in os.listdir(blobs):
                os.chmod(os.path.join(blobs, name), 0o644)
                os.truncate(os.path.join(blobs, name), 1)
            say("damaged")
            wait_for("read")

        def test_another_loads_the_image_before_and_after(casstore_store, casstore_load):
            casstore_load("archives/twins.tar")
            casstore_load("archives/single.tar")
            say("loaded")
            wait_for("damaged")
            assert casstore_store.check(content=True).findings == ()
            casstore_store.remove(["shop/single:1.0"])
            casstore_load("archives/single.tar")
            assert casstore_store.check(content=True).findings == ()
            say("read")
        """,
        "-n", "2",
    )  # fmt: skip

    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*ERROR*test_one_damages_a_blob*"])


@pytest.mark.usefixtures("archives")
def test_a_worker_in_the_place_of_one_that_died_has_a_sound_cache(run: Run) -> None:
    result = run(
        """
        import os, pytest

        pytestmark = pytest.mark.casstore_image("archives/single.tar")

        def test_a_dies(casstore_store):
            blobs = os.path.join(casstore_store.path, "blobs", "sha256")
            for name in os.listdir(blobs):
                os.chmod(os.path.join(blobs, name), 0o644)
                os.truncate(os.path.join(blobs, name), 1)
            os._exit(1)

        def test_b_reads(casstore_store):
            assert casstore_store.check(content=True).findings == ()
        """,
        "-n", "1",
    )  # fmt: skip

    result.assert_outcomes(passed=1, failed=1)
