from __future__ import annotations

import pytest

from tests.plugin.conftest import Run


def test_the_same_arguments_give_the_same_image_everywhere(run: Run) -> None:
    result = run("""
        def test_it(casstore_image_factory):
            image = casstore_image_factory(
                files={"etc/": b"", "etc/motd": "hello"}, config={"Env": ["A=1"]}, tag="tiny"
            )
            assert image.id.short == "94cc395f1d6e"
    """)

    result.assert_outcomes(passed=1)


def test_files_are_the_layer(run: Run) -> None:
    result = run("""
        import tarfile

        def test_it(casstore_store, casstore_image_factory):
            image = casstore_image_factory(files={"/b": "two", "a/": b"", "a/x": b"one"})
            with casstore_store.open_layer(image.layers[0]) as layer:
                with tarfile.open(fileobj=layer, mode="r|") as tar:
                    assert [(m.name, m.size, m.mtime) for m in tar] == [
                        ("a", 0, 0), ("a/x", 3, 0), ("b", 3, 0)
                    ]
    """)

    result.assert_outcomes(passed=1)


def test_a_parent_is_recorded_and_its_layers_are_below(run: Run) -> None:
    result = run("""
        def test_it(casstore_store, casstore_image_factory):
            base = casstore_image_factory(files={"a": "1"}, config={"Env": ["A=1"]}, tag="base")
            child = casstore_image_factory(files={"b": "2"}, parent=base, tag="child:1")
            assert child.parent == base.id
            assert len(child.layers) == 2
            assert child.layers[0] == base.layers[0]
            assert [name.familiar for name in casstore_store.get("base").names] == ["base:latest"]
    """)

    result.assert_outcomes(passed=1)


def test_a_chain_of_images_keeps_all_its_links(run: Run) -> None:
    result = run("""
        def test_it(casstore_store, casstore_image_factory):
            one = casstore_image_factory(files={"a": "1"})
            two = casstore_image_factory(parent=one, config={"Labels": {"n": "2"}})
            three = casstore_image_factory(files={"c": "3"}, parent=two, tag=["x:1", "y:1"])
            assert casstore_store.get(three.id).parent == two.id
            assert casstore_store.get(two.id).parent == one.id
            deleted = casstore_store.remove(["x:1", "y:1"])
            assert list(casstore_store.images(all=True)) == []
    """)

    result.assert_outcomes(passed=1)


@pytest.mark.usefixtures("archives")
def test_a_parent_can_be_a_loaded_image_given_by_name(run: Run) -> None:
    result = run("""
        import pytest

        @pytest.mark.casstore_image("archives/single.tar")
        def test_it(casstore_store, casstore_image_factory):
            child = casstore_image_factory(files={"x": "y"}, parent="shop/single:1.0", tag="child")
            assert child.parent == casstore_store.get("shop/single:1.0").id
    """)

    result.assert_outcomes(passed=1)
