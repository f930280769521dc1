"""What each layer of an image brings, and what of that layers above hide."""

from __future__ import annotations

from contextlib import ExitStack

from casstore.errors import Refused
from casstore.model.imageconfig import parse_config
from casstore.results.files import LayerUse
from casstore.rules.hiddenfiles import files_of_layers
from casstore.transfer.contentstable import ContentsTable, Unusable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from casstore.flows.imagestack import Stack
    from casstore.model.digest import Digest
    from casstore.ports.backend import Backend
    from casstore.ports.blobs import Blobs
    from casstore.rules.hiddenfiles import LayerFiles


def layer_uses(blobs: Blobs, stack: Stack, counts: Sequence[LayerFiles]) -> list[LayerUse]:
    """What was counted of each layer, with the step of the history that made it.

    Raises Damaged: the config is missing or wrong.
    """
    steps = _steps(blobs, stack.config)
    missing = [""] * (len(counts) - len(steps))
    return [
        LayerUse(layer.digest, step, *count)
        for layer, step, count in zip(stack.layers, [*steps, *missing], counts, strict=False)
    ]


def _steps(blobs: Blobs, config: Digest | None) -> list[str]:
    """What made each layer, bottom first, as far as it is told."""
    if config is None:
        return []
    try:
        history = parse_config(blobs.read(config), config).history
    except Refused:  # files can be looked into without it
        return []
    return [step.created_by for step in history if not step.empty_layer]


class KnownFiles:
    """Counts the files of images whose layers somebody has looked into; reads no layer.

    A report is not to take minutes, however many images have tables: so only so many entries are
    gone through, each time that one is.
    """

    def __init__(self, backend: Backend, most: int) -> None:
        """`most` entries in all tables of all images that are asked for."""
        self._contents, self._left = backend.contents, most
        self._have = {file.digest for file in self._contents.walk() if file.digest is not None}
        self._counted: dict[tuple[Digest, ...], list[LayerFiles]] = {}

    def has_some(self, layers: Sequence[Digest]) -> bool:
        """Whether one of these layers has a table."""
        return not self._have.isdisjoint(layers)

    def count(self, layers: Sequence[Digest]) -> list[LayerFiles] | None:
        """What each layer of an image brings, bottom first; None if that is not known.

        Raises: as `files_of_layers`.
        """
        key = tuple(layers)
        if key not in self._counted and self._have.issuperset(key):
            with ExitStack() as opened:
                tables = self._tables(key, opened)
                if tables is not None:
                    self._counted[key] = files_of_layers(tables)
        return self._counted.get(key)

    def _tables(self, layers: Sequence[Digest], opened: ExitStack) -> list[ContentsTable] | None:
        tables: list[ContentsTable] = []
        for layer in layers:
            file = self._contents.open(layer)
            try:
                table = ContentsTable(file, layer) if file is not None else None
            except Unusable:
                table = None
            if table is None:
                self._have.discard(layer)
                return None
            tables.append(opened.enter_context(table))
        entries = sum(table.count for table in tables)
        if entries > self._left:
            return None
        self._left -= entries
        return tables
