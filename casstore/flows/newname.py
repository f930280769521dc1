"""A name that an image gets on its way in, in place of those that it comes with."""

from __future__ import annotations

from casstore.errors import Refused
from casstore.model.reference import Reference, subject_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from casstore.model.record import Arrival

MAX_TOLD = 3  # images that a refusal names


def named(arrivals: Sequence[Arrival], target: Reference) -> list[Arrival]:
    """Let the one image of an input have one name.

    What refers to an image is not counted: its signatures and SBOMs, by their subject or by a tag.
    These go along, into the repository of the new name. Nor is an image counted that has no name
    and is another's parent: docker save writes such parents, and nobody means them.

    Raises:
        Refused: there are several images, or none.
    """
    parents = {arrival.parent for arrival in arrivals}
    chosen = {
        arrival.image.top.digest: arrival
        for arrival in reversed(arrivals)
        if not _refers(arrival) and (arrival.names or arrival.image.id not in parents)
    }
    if len(chosen) != 1:
        found = [_told(arrival) for arrival in reversed(chosen.values())]
        more = ", …" if len(found) > MAX_TOLD else ""
        all_told = f" ({', '.join(found[:MAX_TOLD])}{more})" if found else ""
        raise Refused(
            f"{target.familiar} can be the name of one image, and there are "
            f"{len(found) or 'none'}{all_told}"
        )
    ((top, image),) = chosen.items()
    rest = [
        beside(arrival, target) if _refers(arrival) else arrival
        for arrival in arrivals
        if arrival.image.top.digest != top
    ]
    return [*rest, image._replace(names=(target,))]


def beside(referrer: Arrival, target: Reference) -> Arrival:
    """What refers to an image, in the repository that the image gets a name in."""
    names = [
        Reference(f"{target.repository}:{name.tag}" if name.tag is not None else
                  f"{target.repository}@{name.digest}")
        for name in referrer.names
    ]  # fmt: skip
    return referrer._replace(names=tuple(names))


def _refers(arrival: Arrival) -> bool:
    return arrival.image.subject is not None or any(map(subject_of, arrival.names))


def _told(arrival: Arrival) -> str:
    return arrival.names[0].familiar if arrival.names else arrival.image.id.short
