"""The mark casstore_in_memory: a casstore_store without files."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import Run

pytestmark = pytest.mark.usefixtures("archives")


def test_a_marked_test_has_its_images_and_no_files(run: Run) -> None:
    result = run("""
        import os, pytest

        @pytest.mark.casstore_in_memory
        @pytest.mark.casstore_image("archives/single.tar", "archives/twins.tar")
        def test_it(request, casstore_store):
            casstore_store.get("shop/single:1.0")
            casstore_store.get("twins/a:1")
            assert not os.path.exists(casstore_store.path)
            assert "tmp_path" not in request.fixturenames
    """)

    result.assert_outcomes(passed=1)


def test_it_is_the_same_image_as_in_a_store_of_files(run: Run) -> None:
    result = run("""
        import pytest
        from casstore import Store

        @pytest.mark.casstore_in_memory
        @pytest.mark.casstore_image("archives/commit.tar")
        def test_it(request, casstore_store, tmp_path):
            with Store(tmp_path / "store") as other:
                other.load(request.config.rootpath / "archives" / "commit.tar")
                assert casstore_store.images(all=True) == other.images(all=True)
    """)

    result.assert_outcomes(passed=1)


def test_what_a_test_does_is_not_seen_by_the_next(run: Run) -> None:
    result = run("""
        import pytest

        pytestmark = [
            pytest.mark.casstore_in_memory, pytest.mark.casstore_image("archives/commit.tar")
        ]

        @pytest.mark.parametrize("turn", range(3))
        def test_it(casstore_store, casstore_image_factory, turn):
            names = {str(name) for image in casstore_store.images() for name in image.names}
            assert sorted(names) == [
                "docker.io/shop/committed:1", "docker.io/shop/imported:1"
            ]
            casstore_image_factory(files={"turn": str(turn)}, parent="shop/committed:1", tag="new")
            casstore_store.remove(["shop/imported:1"], force=True)
            casstore_store.remove(["new"])
            casstore_store.leases.add("kept", "shop/committed:1")
            casstore_store.leases.remove("kept")
    """)

    result.assert_outcomes(passed=3)


def test_load_and_the_factory_put_their_images_there(run: Run) -> None:
    result = run("""
        import pytest

        @pytest.mark.casstore_in_memory
        def test_it(casstore_store, casstore_load, casstore_image_factory):
            a, b = casstore_load("archives/twins.tar")
            tiny = casstore_image_factory(files={"etc/motd": "hi"}, parent=a, tag="tiny")
            assert tiny.parent == a.id
            assert casstore_store.check(content=True).findings == ()
            assert casstore_store.path == "memory"
    """)

    result.assert_outcomes(passed=1)


def test_an_archive_is_read_once_for_all_tests(run: Run) -> None:
    result = run("""
        import pytest
        from casstore import Store

        loads = []
        load = Store.load

        @pytest.fixture(autouse=True)
        def count(monkeypatch):
            def counted(store, source, **options):
                loads.append(str(source))
                return load(store, source, **options)
            monkeypatch.setattr(Store, "load", counted)

        @pytest.mark.casstore_in_memory
        @pytest.mark.casstore_image("archives/single.tar")
        @pytest.mark.parametrize("turn", range(5))
        def test_in_memory(casstore_store, turn):
            casstore_store.get("shop/single:1.0")

        @pytest.mark.casstore_image("archives/single.tar")
        def test_in_files(casstore_store):
            casstore_store.get("shop/single:1.0")

        def test_count():
            assert len([source for source in loads if source.endswith("single.tar")]) == 1
    """)

    result.assert_outcomes(passed=7)


def test_a_lease_left_behind_fails_the_test(run: Run) -> None:
    result = run("""
        import pytest

        pytestmark = [
            pytest.mark.casstore_in_memory, pytest.mark.casstore_image("archives/single.tar")
        ]

        def test_a_leaves_it(casstore_store):
            casstore_store.leases.add("forgotten", "shop/single:1.0")

        def test_b_has_none(casstore_store):
            assert casstore_store.leases.list() == []

        @pytest.mark.casstore_unchecked
        def test_c_is_not_looked_at(casstore_store):
            casstore_store.leases.add("forgotten", "shop/single:1.0")
    """)

    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*a lease is still held: soft lease forgotten*"])
