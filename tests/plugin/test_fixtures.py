from __future__ import annotations

import pytest

from tests.plugin.conftest import ROOT, Run

pytestmark = pytest.mark.usefixtures("archives")


def test_each_test_gets_an_empty_store_of_its_own(run: Run) -> None:
    result = run("""
        def test_one(casstore_store, casstore_image_factory):
            casstore_image_factory(tag="one")
            assert len(list(casstore_store.images())) == 1

        def test_two(casstore_store):
            assert list(casstore_store.images()) == []
    """)

    result.assert_outcomes(passed=2)


def test_a_mark_loads_archives_before_the_test(run: Run) -> None:
    result = run("""
        import pytest

        @pytest.mark.casstore_image("archives/tags.tar", "archives/twins.tar")
        def test_it(casstore_store):
            assert casstore_store.get("tags/a:1").id == casstore_store.get("tags/b").id
            assert casstore_store.get("twins/a:1").id.short == "d48ff7b21d51"
    """)

    result.assert_outcomes(passed=1)


def test_marks_of_module_class_and_function_add_up(run: Run) -> None:
    result = run("""
        import pytest

        pytestmark = pytest.mark.casstore_image("archives/twins.tar")

        @pytest.mark.casstore_image("archives/import.tar")
        class TestIt:
            @pytest.mark.casstore_image("archives/commit.tar")
            def test_it(self, casstore_store):
                for name in "twins/a:1", "shop/imported:1", "shop/committed:1":
                    casstore_store.get(name)
    """)

    result.assert_outcomes(passed=1)


def test_the_innermost_mark_is_loaded_last_and_gets_a_name_that_two_archives_claim(
    run: Run, pytester: pytest.Pytester
) -> None:
    (pytester.path / "recorded").symlink_to(ROOT / "fixtures" / "transcripts" / "archives")

    result = run("""
        import pytest

        pytestmark = pytest.mark.casstore_image("recorded/web-old.tar")

        @pytest.mark.casstore_image("recorded/web-new.tar")
        def test_it(casstore_store, casstore_load):
            newest = casstore_store.get("web:1").id
            new, = casstore_load("recorded/web-new.tar")
            assert newest == new.id
    """)

    result.assert_outcomes(passed=1)


def test_a_store_from_the_cache_has_the_parents_and_all_names_in_order(run: Run) -> None:
    result = run("""
        import pytest

        @pytest.mark.casstore_image("archives/commit.tar", "archives/tags.tar")
        def test_it(casstore_store):
            image = casstore_store.get("shop/committed:1")
            assert image.parent == casstore_store.get("shop/imported:1").id
            assert [name.familiar for name in casstore_store.get("tags/a:1").names] == [
                "tags/a:1", "tags/a:latest", "tags/b:latest", "localhost:5000/tags/c:2",
                "127.0.0.1:5000/deep/er/path:v1.2.3-rc_4",
            ]
    """)

    result.assert_outcomes(passed=1)


def test_what_one_test_removes_another_still_has(run: Run) -> None:
    result = run("""
        import pytest

        @pytest.mark.casstore_image("archives/single.tar")
        @pytest.mark.parametrize("turn", [1, 2])
        def test_it(casstore_store, turn):
            casstore_store.remove(["shop/single:1.0"])
            assert list(casstore_store.images()) == []
    """)

    result.assert_outcomes(passed=2)


def test_an_archive_is_read_once_a_session(run: Run) -> None:
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

        @pytest.mark.casstore_image("archives/single.tar")
        @pytest.mark.parametrize("turn", range(5))
        def test_marked(casstore_store, turn):
            casstore_store.get("shop/single:1.0")

        @pytest.mark.parametrize("turn", range(5))
        def test_loaded(casstore_load, turn):
            casstore_load("archives/single.tar")

        def test_count():
            assert len([source for source in loads if source.endswith("single.tar")]) == 1
    """)

    result.assert_outcomes(passed=11)


def test_layers_are_shared_by_hard_links(run: Run) -> None:
    result = run("""
        import os, pytest

        @pytest.mark.casstore_image("archives/single.tar")
        def test_marked(casstore_store):
            blobs = os.path.join(casstore_store.path, "blobs", "sha256")
            assert all(blob.stat().st_nlink > 1 for blob in os.scandir(blobs))

        def test_loaded(casstore_store, casstore_load):
            image, = casstore_load("archives/single.tar")
            blobs = os.path.join(casstore_store.path, "blobs", "sha256")
            assert sum(blob.stat().st_nlink > 1 for blob in os.scandir(blobs)) >= 4
    """)

    result.assert_outcomes(passed=2)


def test_casstore_load_returns_the_images_in_load_order(run: Run) -> None:
    result = run("""
        def test_it(casstore_store, casstore_load):
            a, b = casstore_load("archives/twins.tar")
            assert a.id == casstore_store.get("twins/a:1").id
            assert b.id == casstore_store.get("twins/b:1").id
    """)

    result.assert_outcomes(passed=1)


def test_casstore_load_keeps_parents_and_the_order_of_names(run: Run) -> None:
    result = run("""
        def test_it(casstore_store, casstore_load):
            casstore_load("archives/commit.tar")
            casstore_load("archives/tags.tar")
            image = casstore_store.get("shop/committed:1")
            assert image.parent == casstore_store.get("shop/imported:1").id
            assert [name.familiar for name in casstore_store.get("tags/a:1").names][:3] == [
                "tags/a:1", "tags/a:latest", "tags/b:latest",
            ]
    """)

    result.assert_outcomes(passed=1)


def test_an_oci_layout_directory_is_a_source_too(run: Run, pytester: pytest.Pytester) -> None:
    (pytester.path / "layout").symlink_to(ROOT / "fixtures" / "images" / "skopeo" / "oci-gzip")

    result = run("""
        import pytest

        @pytest.mark.casstore_image("layout")
        def test_it(casstore_store):
            casstore_store.get("shop/single:1.0")
    """)

    result.assert_outcomes(passed=1)


def test_a_path_is_looked_up_in_the_rootdir_and_beside_the_test(
    run: Run, pytester: pytest.Pytester
) -> None:
    beside = pytester.mkdir("inner")
    (beside / "near.tar").symlink_to(pytester.path / "archives" / "twins.tar")
    (beside / "test_near.py").write_text(
        "def test_it(casstore_load):\n    casstore_load('near.tar')\n"
    )

    run("def test_it(casstore_load):\n    casstore_load('archives/twins.tar')\n").assert_outcomes(
        passed=2
    )


def test_a_missing_archive_says_where_it_was_looked_for(run: Run) -> None:
    result = run("def test_it(casstore_load):\n    casstore_load('nosuch.tar')\n")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*no archive or layout for casstore at*", "*nosuch.tar*"])


def test_the_session_store_is_one_for_all_tests(run: Run) -> None:
    result = run("""
        def test_one(casstore_session_store):
            casstore_session_store.load("archives/twins.tar")

        def test_two(casstore_session_store):
            casstore_session_store.get("twins/a:1")
    """)

    result.assert_outcomes(passed=2)


def test_the_markers_are_declared(run: Run) -> None:
    result = run("", "--markers")

    result.stdout.fnmatch_lines(
        ["@pytest.mark.casstore_image(source, ...)*", "@pytest.mark.casstore_unchecked*"]
    )


def test_nothing_is_imported_for_a_suite_that_uses_no_fixture(
    run: Run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pytester, "runpytest", pytester.runpytest_subprocess)

    result = run("""
        import sys

        loaded = sorted(name for name in sys.modules if name.startswith("casstore."))

        def test_it():
            assert loaded == ["casstore.pytest_plugin"]
    """)

    result.assert_outcomes(passed=1)
