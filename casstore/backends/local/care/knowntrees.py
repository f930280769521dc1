"""Images whose documents need not be read again: they are the same, and so is what the index says.

Only those of plain manifests: of an index a part may be missing, and come later.
"""

from __future__ import annotations

from casstore.backends.local.listings import LISTINGS
from casstore.backends.local.statements import KINDS
from casstore.backends.local.view import LocalView
from casstore.model.descriptor import CONFIG, INDEX, MANIFEST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet
    from typing import Any

    from casstore.backends.local.schema import Connection
    from casstore.model.descriptor import Descriptor
    from casstore.model.digest import Digest

    Tree = tuple[Digest, Descriptor]  # an image, and a manifest that it holds
    Needs = dict[bytes, list[tuple[Any, ...]]]  # by document, a row for each blob that it needs

_CONFIG = KINDS.index(CONFIG)
_DOCUMENTS = frozenset((KINDS.index(INDEX), KINDS.index(MANIFEST)))


class KnownTrees:
    """What the index of a sound store says of its images."""

    def __init__(self, connection: Connection) -> None:
        self._needs = _needs(connection)
        self._files: dict[Tree, set[str]] = {}  # that the documents of a tree are in
        for image, top in LocalView(connection, now=0, hard={}).all_tops():
            rows = self._needs.get(top.digest.raw, [])
            if not any(kind in _DOCUMENTS for _, kind, *_ in rows):
                configs = [digest.hex() for digest, kind, *_ in rows if kind == _CONFIG]
                self._files[image, top] = {top.digest.hex, *configs}

    def same(self, connection: Connection, files: AbstractSet[str]) -> set[Tree]:
        """Those of which another index says the same, where these files are the same."""
        needs = _needs(connection)
        return {
            tree
            for tree, its in self._files.items()
            if its <= files and needs.get(raw := tree[1].digest.raw) == self._needs.get(raw)
        }


class Believed:
    """What a check need not read: known trees, where they are in files that are the same."""

    def __init__(self, trees: KnownTrees, files: AbstractSet[str]) -> None:
        self._trees, self._files = trees, files

    def trees(self, connection: Connection) -> set[Tree]:
        return self._trees.same(connection, self._files)


def _needs(connection: Connection) -> Needs:
    needs: Needs = {}
    for document, *need in connection.execute(LISTINGS["all_needs"]):
        needs.setdefault(document, []).append(tuple(need))
    return needs
