"""What the report shows: every listed image, what it takes, and what its removal would free.

What a removal frees is the plan of `rmi -f`, made by the rules that rmi itself uses, for each
image alone.
"""

from __future__ import annotations

from casstore.errors import Conflict
from casstore.queries.spacemap import SpaceMap
from casstore.queries.usage import usage_of
from casstore.results.space import MAX_LABEL, MAX_LABELS, Inventory, InventoryImage
from casstore.rules.removal import plan_removal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.model.digest import Digest
    from casstore.model.kept import ImageFacts
    from casstore.ports.backend import Backend
    from casstore.ports.view import View


def take_inventory(disk: Backend, view: View, now: int) -> Inventory:
    """The store at this moment (`now`, ns since 1970)."""
    with view.snapshot():  # one for the map and for the plans
        space = SpaceMap(disk, view, now)
        rules = view.with_hard_leases(space.hard)
        place = {facts.id: number for number, facts in enumerate(space.listed)}
        number = {blob: number for number, blob in enumerate(space.blobs)}
        used = disk.uses.read(now)
        images = [
            _image(space, rules, facts, place, number)._replace(used=used.get(facts.id))
            for facts in space.listed
        ]
    blobs = tuple(space.blobs.values())
    return Inventory(disk.where, now, usage_of(disk, space), blobs, tuple(images))


def _image(
    space: SpaceMap,
    rules: View,
    facts: ImageFacts,
    place: dict[Digest, int],
    number: dict[Digest, int],
) -> InventoryImage:
    own = rules.facts_of(facts.id)  # with its labels, which the map does without
    most = MAX_LABEL + 1  # so that a longer one is seen to be cut
    frees, refusal = _removal(rules, facts.id)
    return InventoryImage(
        facts.id,
        tuple(space.names.get(facts.id, ())),
        facts.created,
        None,
        facts.size,
        frees,
        refusal,
        tuple(space.leases.get(facts.id, ())),
        facts.id in space.pinned,
        _base(space, facts.id, place),
        tuple((key[:most], value[:most]) for key, value in own.labels[:MAX_LABELS]),
        _in_order(space, facts.id, number),
    )


def _removal(rules: View, image: Digest) -> tuple[int, str]:
    """Bytes that `rmi -f IMAGE` frees, or why it does not remove it."""
    try:
        plan = plan_removal(rules, image, force=True)
    except Conflict as conflict:
        return 0, str(conflict).partition(" because it ")[2] or str(conflict)
    return plan.freed, ""


def _base(space: SpaceMap, image: Digest, place: dict[Digest, int]) -> int:
    """Place of the nearest listed image that this one is built on, -1 for none."""
    for ancestor in space.ancestors(image):
        if ancestor in place:
            return place[ancestor]
    return -1


def _in_order(space: SpaceMap, image: Digest, number: dict[Digest, int]) -> tuple[int, ...]:
    """Numbers of the blobs: its layers bottom first, then all else."""
    estate = space.estate(image)
    layers = [blob for blob in dict.fromkeys(space.chain(image)) if blob in estate]
    return tuple(number[blob] for blob in [*layers, *sorted(estate.difference(layers))])
