"""A class inherits to be what its base is, not to use what its base has."""

from __future__ import annotations

import ast

from tests.architecture.sources import Module, modules

# Classes whose instances are taken for those of their base, each with its base.
KINDS = {
    # A change sees all that a view sees; both are in two modules, and this is in two more.
    ("LocalEdits", "Admission"),
    ("Admission", "RemovalIndex"),
    ("RemovalIndex", "LocalView"),
    ("LocalView", "Listings"),
    ("LastUses", "History"),  # a journal in two modules, one of which few commands need
    ("MemoryEdits", "MemoryView"),
    ("MemoryTrashEdits", "MemoryTrash"),
    ("_Scratch", "StoreFile"),  # one that is written too
    ("_Output", "Replacement"),  # a file that is replaced, in two ways
    ("Verb", "Part"),  # descriptors
    ("Store", "_Verbs"),  # which a type checker sees as the parts, and nothing else does
    ("ImageRow", "Struct"),  # what Go's templates and JSON take
    ("FileRow", "Struct"),
    ("Message", "Struct"),
    ("Mirrored", "Repository"),  # one that several hosts have
    ("_Record", "Struct"),
    ("Time", "Shown"),
    ("_NilPointer", "Shown"),
}


def inheriting(module: Module, ours: dict[str, ast.ClassDef]) -> set[tuple[str, str]]:
    """Classes of a module with a base of the package that is more than a shape."""
    return {
        (kind.name, base.id)
        for kind in ast.walk(module.tree)
        if isinstance(kind, ast.ClassDef)
        for base in kind.bases
        if isinstance(base, ast.Name) and base.id in ours and has_code(ours[base.id], ours)
    }


def has_code(kind: ast.ClassDef, ours: dict[str, ast.ClassDef]) -> bool:
    """Whether a class is none of protocols, records and errors."""
    bases = {ast.unparse(base) for base in kind.bases}
    if bases & {"Protocol", "Exception", "KeyboardInterrupt", "tuple"}:
        return False
    return all(has_code(ours[base], ours) for base in bases if base in ours)


def test_a_class_inherits_from_one_of_ours_only_where_it_is_one() -> None:
    ours = {
        kind.name: kind
        for module in modules()
        for kind in ast.walk(module.tree)
        if isinstance(kind, ast.ClassDef)
    }
    found = {pair for module in modules() for pair in inheriting(module, ours)}
    verbs = {pair for pair in found if pair[0] == "_Verbs"}  # for a type checker alone

    assert found - verbs == KINDS
