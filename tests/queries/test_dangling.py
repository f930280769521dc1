"""The dangling images of a store: each answer counts the same ones."""

from __future__ import annotations

from casstore import Store
from tests.architecture.sources import ROOT

ARCHIVE = ROOT / "fixtures" / "images" / "docker-save" / "commit.tar"


def test_lists_figures_and_prune_agree() -> None:
    with Store.in_memory() as store:
        store.load(ARCHIVE)
        store.tag("shop/imported:1", "shop/committed:1")  # whose image has no name now
        listed = [image.id for image in store.images(filters=["dangling=true"])]

        assert len(listed) == store.df().dangling == store.figures().dangling == 1
        assert [line.digest for line in store.prune().removed if line.role == "image"] == listed
