"""What the specification leaves open, or tools get wrong: who sees what casstore sees.

docs/files.md has the decisions, with their reasons, as a table.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from casstore import Refused, Store
from tests.look import randomimages as odd
from tests.look.casstoretree import loaded, of_store
from tests.look.peers import Docker, Peer, PeerFailure, Podman, Seen, Tree, Umoci
from tests.look.randomimages import Oddity, odd_image

SEEDS = range(3)
ALL: tuple[type[Peer], ...] = (Docker, Podman, Umoci)

# Who sees the same, where he takes the image at all; overlay2 is what the other two use.
AGREE: dict[Oddity, tuple[type[Peer], ...]] = {
    odd.without_parents: (Umoci,),  # overlay2 resets owner and mode of such a directory
    odd.marker_beside_its_name: ALL,
    odd.opaque_beside_its_names: ALL,
    odd.opaque_root: (Umoci,),  # overlay2 overlooks the marker
    odd.link_to_lower_layer: (Umoci,),  # overlay2 refuses it
    odd.below_a_lower_link: (Docker, Podman),  # umoci follows the link
    odd.below_a_link_of_its_layer: ALL,
    odd.shuffled: ALL,
    odd.bare_markers: ALL,
    odd.disguised_names: ALL,
    odd.name_twice: (Umoci,),  # the other two refuse it
    odd.markers_of_a_name_and_below_it: (Podman, Umoci),  # Docker refuses it
    odd.marker_of_another_kind: ALL,
}


def comparable(tree: Tree, *, xattrs: bool) -> Tree:
    """Without what tools cannot or do not keep: modes of links, times of directories."""
    return {name: _comparable(seen, xattrs=xattrs) for name, seen in tree.items()}


def _comparable(seen: Seen, *, xattrs: bool) -> Seen:
    if not xattrs:
        seen = replace(seen, xattrs=())
    if seen.kind == "symlink":
        return replace(seen, mode=0o777)
    return replace(seen, mtime=0) if seen.kind == "directory" else seen


def test_every_oddity_is_decided() -> None:
    assert set(AGREE) == set(odd.ODDITIES)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("oddity", "kind"),
    [
        pytest.param(oddity, kind, id=f"{oddity.__name__}-{kind.name}")
        for oddity, kinds in AGREE.items()
        for kind in kinds
    ],
)
def test_an_oddity_is_seen_as_others_see_it(
    oddity: Oddity, kind: type[Peer], seed: int, tmp_path: Path
) -> None:
    if not kind.is_here():
        pytest.skip(f"no {kind.name} here that can be used")
    layers = odd_image(oddity, seed)
    try:
        theirs = kind(tmp_path).files(layers)
    except PeerFailure as refusal:
        pytest.skip(f"{kind.name} refuses the image: {refusal}")
    with Store.in_memory() as store:
        ours = of_store(store, loaded(store, layers))

    xattrs = kind is not Docker
    assert comparable(ours, xattrs=xattrs) == comparable(theirs, xattrs=xattrs)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("oddity", odd.ODDITIES, ids=lambda oddity: oddity.__name__)
def test_an_odd_image_is_seen_whole_or_refused_in_one_line(oddity: Oddity, seed: int) -> None:
    with Store.in_memory() as store:
        name = loaded(store, odd_image(oddity, seed))
        refused = None
        try:
            tree = of_store(store, name)
        except Refused as error:
            refused, tree = str(error), {}

    assert refused is None or "\n" not in refused
    assert all(not part.startswith(b".wh.") for path in tree for part in path.split(b"/"))
