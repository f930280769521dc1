"""The rooms of the package, and the arrows between them: who imports whom.

What a module takes by name at run time (a part of `Store`, a command) is no import statement, and
no arrow here. The front door, casstore/__init__.py, names rooms of all floors and is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from tests.architecture.sources import FRONT_DOOR, Import, Module


@dataclass(frozen=True)
class Arrow:
    """An import of one of the package's modules by another."""

    source: Module
    target: str  # a dotted name
    statement: Import

    @property
    def room(self) -> str:
        """The room of the target."""
        return self.target.split(".")[1]


class ImportGraph:
    """What the modules of the package import."""

    def __init__(self, modules: Iterable[Module]) -> None:
        """`modules` are all of the package."""
        self.modules = tuple(module for module in modules if module.path != FRONT_DOOR)
        self.rooms = sorted({module.room for module in self.modules})
        self.statements = tuple(
            (module, one) for module in self.modules for one in module.statements()
        )
        self.arrows = tuple(
            Arrow(module, one.name, one)
            for module, one in self.statements
            if one.name.startswith("casstore.")
        )

    @cached_property
    def between_rooms(self) -> Counter[tuple[str, str]]:
        """How often the first room imports something of the second."""
        pairs = ((arrow.source.room, arrow.room) for arrow in self.arrows)
        return Counter(pair for pair in pairs if pair[0] != pair[1])

    @cached_property
    def uses(self) -> dict[str, set[str]]:
        """The rooms that each room imports something of."""
        uses: dict[str, set[str]] = {room: set() for room in self.rooms}
        for source, target in self.between_rooms:
            uses[source].add(target)
        return uses

    def floors(self) -> dict[str, int]:
        """The lowest floor on which each room can stand: above all rooms that it uses.

        Rooms that need each other share a floor.
        """
        floor_of: dict[str, int] = {}
        for group in groups(self.uses):
            below = {room for one in group for room in self.uses[one]} - set(group)
            floor = 1 + max((floor_of[room] for room in below), default=0)
            floor_of |= dict.fromkeys(group, floor)
        return floor_of

    def cycles_of_rooms(self) -> list[list[str]]:
        """Groups of rooms that all need each other, in one step or several."""
        return [group for group in groups(self.uses) if len(group) > 1]

    def cycles_of_modules(self) -> list[list[str]]:
        """The same of modules, by their paths."""
        path_of = {module.name: module.path for module in self.modules}
        uses: dict[str, set[str]] = {path: set() for path in path_of.values()}
        for arrow in self.arrows:
            uses[arrow.source.path].add(path_of[arrow.target])
        return [group for group in groups(uses) if len(group) > 1]


def groups(uses: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """The strongly connected components (Tarjan's algorithm), each after all that it uses."""
    found: list[list[str]] = []
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    waiting: list[str] = []

    def visit(node: str) -> None:
        number[node] = lowest[node] = len(number)
        waiting.append(node)
        for other in sorted(uses[node]):
            if other not in number:
                visit(other)
                lowest[node] = min(lowest[node], lowest[other])
            elif other in waiting:
                lowest[node] = min(lowest[node], number[other])
        if lowest[node] == number[node]:
            start = waiting.index(node)
            found.append(sorted(waiting[start:]))
            del waiting[start:]

    for node in sorted(uses):
        if node not in number:
            visit(node)
    return found


def told(graph: ImportGraph, title: str, *, late: bool = False) -> Iterator[str]:
    """The graph in lines of text; with `late`, each late import too."""
    floors = graph.floors()
    yield (
        f"{title}: {len(graph.modules)} modules, {_lines(graph.modules)} lines;"
        f" {len(graph.rooms)} rooms on {max(floors.values())} floors"
    )
    yield ""
    yield from _table(graph, floors)
    yield ""
    yield (
        f"arrows between rooms: {len(graph.between_rooms)}"
        f" ({graph.between_rooms.total()} imports; {len(graph.arrows)} with those within a room)"
    )
    yield from _cycles("rooms", graph.cycles_of_rooms())
    yield from _cycles("modules", graph.cycles_of_modules())
    deferred = [(module, one) for module, one in graph.statements if one.late]
    own = sum(one.name.startswith("casstore.") for _, one in deferred)
    yield f"late imports: {len(deferred)} ({own} of casstore's own modules)"
    if late:
        yield from (f"  {module.path}:{one.line}: {one.name}" for module, one in deferred)


def _table(graph: ImportGraph, floors: Mapping[str, int]) -> Iterator[str]:
    width = max(map(len, graph.rooms))
    yield f"floor  {'room':<{width}}  modules  lines  late  uses"
    for room in sorted(graph.rooms, key=lambda room: (floors[room], room)):
        inside = [module for module in graph.modules if module.room == room]
        late = sum(one.late for module, one in graph.statements if module.room == room)
        uses = ", ".join(
            f"{target} {graph.between_rooms[room, target]}" for target in sorted(graph.uses[room])
        )
        yield (
            f"{floors[room]:>5}  {room:<{width}}  {len(inside):>7}  {_lines(inside):>5}"
            f"  {late:>4}  {uses}"
        ).rstrip()


def _cycles(of: str, cycles: Iterable[Iterable[str]]) -> Iterator[str]:
    lines = [f"  {', '.join(cycle)}" for cycle in cycles]
    yield f"cycles of {of}: {len(lines)}"
    yield from lines


def _lines(modules: Iterable[Module]) -> int:
    return sum(module.text.count("\n") for module in modules)
