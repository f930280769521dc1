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
