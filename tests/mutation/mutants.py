"""Mutants of a module: its source, each time with one small thing wrong.

A statement is left out, a condition is turned round, a comparison is off by one, an order is not
kept. What a test cannot be asked to notice is left alone: annotations, docstrings, the wording of
messages, `__repr__`, asserts for the type checker, and whatever is not Python (SQL).

A mutant is known by its module, the function it is in, and its lines before and after, not by a
line number: results and verdicts about it outlive changes elsewhere in the module.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
NOT_MUTATED = {"__repr__", "__str__", "__all__", "__slots__", "TYPE_CHECKING"}

COMPARISONS: dict[type[ast.cmpop], tuple[str, ...]] = {
    ast.Lt: ("<=", ">="),
    ast.LtE: ("<", ">"),
    ast.Gt: (">=", "<="),
    ast.GtE: (">", "<"),
    ast.Eq: ("!=",),
    ast.NotEq: ("==",),
    ast.In: ("not in",),
    ast.NotIn: ("in",),
    ast.Is: ("is not",),
    ast.IsNot: ("is",),
}
OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "//",
    ast.FloorDiv: "*",
    ast.Mod: "//",
    ast.BitOr: "&",
    ast.BitAnd: "|",
}
CALLS = {
    "min": "max",
    "max": "min",
    "any": "all",
    "all": "any",
    "sorted": "list",
    "reversed": "list",
}
SPELLED: dict[type[ast.AST], str] = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
    ast.In: "in", ast.NotIn: r"not\s+in", ast.Is: "is", ast.IsNot: r"is\s+not",
    ast.Add: r"\+", ast.Sub: "-", ast.Mult: r"\*", ast.FloorDiv: "//", ast.Mod: "%",
    ast.BitOr: r"\|", ast.BitAnd: "&",
}  # fmt: skip
# What needs no brackets inside an `and`, `or` or `not`.
BINDS_TIGHTLY = (
    ast.Name, ast.Attribute, ast.Call, ast.Compare, ast.Constant, ast.Subscript, ast.BinOp,
    ast.List, ast.Tuple, ast.Set, ast.Dict, ast.JoinedStr,
)  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One change of one module."""

    module: str  # path from the root of the project
    scope: str  # qualified name of the innermost function or class; empty at module level
    before: str  # the lines that are changed, blanks squeezed
    after: str
    again: int  # 2 for the second such change in the same scope
    line: int = field(compare=False)
    lines: range = field(compare=False)  # a test reaches the mutant if it reaches one of these
    outer: str = field(compare=False)  # the outermost function around it; empty where none is
    nth: int = field(compare=False)  # of the functions with that name (a property, its setter)
    names: tuple[str, ...] = field(compare=False)  # outside functions: what the statement names
    source: str = field(compare=False, repr=False)  # the whole module, mutated

    @property
    def key(self) -> str:
        again = f" ({self.again})" if self.again > 1 else ""
        return f"{self.module} {self.scope or '-'}{again}\n- {self.before}\n+ {self.after}"


def mutants_of(module: str, source: str) -> list[Mutant]:
    """All mutants of a module, in the order of its lines."""
    return _Walk(module, source).run()


class _Walk:
    """The way through one module."""

    def __init__(self, module: str, source: str) -> None:
        self._module = module
        self._source = source
        self._bytes = source.encode()
        self._starts = [0]
        for line in self._bytes.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        self._tree = ast.parse(source)
        self._found: list[Mutant] = []
        self._met: Counter[tuple[str, str, str]] = Counter()
        self._functions: Counter[str] = Counter()
        self._scope: list[str] = []
        self._outer = ("", 0)
        self._lines = range(0)
        self._names: tuple[str, ...] = ()

    def run(self) -> list[Mutant]:
        self._block(self._tree.body)
        return self._found

    # Statements

    def _block(self, body: list[ast.stmt]) -> None:
        for position, statement in enumerate(body):
            is_text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
            if not is_text and not _is_left_alone(statement):
                self._statement(statement, is_last=position == len(body) - 1)

    def _statement(self, node: ast.stmt, *, is_last: bool) -> None:
        if isinstance(node, (*FUNCTION, ast.ClassDef)):
            self._definition(node)
            return
        if not self._outer[0]:
            self._names = tuple(
                part.id
                for part in ast.walk(node)
                if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
            )
        self._lines = range(node.lineno, _end_of_head(node) + 1)
        for span, text in _statement_changes(node, is_last=is_last):
            self._add(span, text)
        for part in ast.iter_child_nodes(node):
            if isinstance(part, ast.expr) and part is not getattr(node, "annotation", None):
                self._expression(part, node)
            elif isinstance(part, ast.withitem):
                self._expression(part.context_expr, node)
        for name in ("body", "orelse", "finalbody"):
            self._block(getattr(node, name, []))
        for handler in getattr(node, "handlers", []):
            self._block(handler.body)
        for case in getattr(node, "cases", []):
            if case.guard is not None:
                self._lines = range(case.pattern.lineno, case.guard.end_lineno + 1)
                self._expression(case.guard, node)
            self._block(case.body)

    def _definition(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        self._scope.append(node.name)
        if isinstance(node, FUNCTION):
            kept = self._lines, self._names
            self._lines = range(node.body[0].lineno, (node.end_lineno or node.lineno) + 1)
            self._names = ()
            for default in (*node.args.defaults, *node.args.kw_defaults):
                if default is not None:
                    self._expression(default, node)
            self._lines, self._names = kept
        outermost = isinstance(node, FUNCTION) and not self._outer[0]
        if outermost:
            name = ".".join(self._scope)
            self._outer = (name, self._functions[name])
            self._functions[name] += 1
        self._block(node.body)
        if outermost:
            self._outer = ("", 0)
        self._scope.pop()

    # Expressions

    def _expression(self, node: ast.expr, parent: ast.AST) -> None:
        if isinstance(node, ast.JoinedStr):
            return
        is_condition = node is getattr(parent, "test", None) or node in getattr(parent, "ifs", ())
        is_not = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
        other = (ast.Compare, ast.BoolOp, ast.Constant)  # of which there are other mutants
        if is_condition and not is_not and not isinstance(node, other):
            self._add(node, f"not {self._operand(node)}")
        for span, text in self._expression_changes(node, parent):
            self._add(span, text)
        for part in ast.iter_child_nodes(node):
            if isinstance(part, ast.expr):
                self._expression(part, node)
            elif isinstance(part, ast.keyword):
                self._expression(part.value, node)
            elif isinstance(part, ast.comprehension):
                self._expression(part.iter, part)
                for condition in part.ifs:
                    self._expression(condition, part)

    def _expression_changes(
        self, node: ast.expr, parent: ast.AST
    ) -> Iterator[tuple[ast.expr | tuple[int, int], str]]:
        if isinstance(node, ast.BoolOp):
            word = " or " if isinstance(node.op, ast.And) else " and "
            swapped = word.join(self._operand(value) for value in node.values)
            yield node, f"({swapped})" if isinstance(parent, ast.expr) else swapped
            for left_out in node.values:
                kept = [value for value in node.values if value is not left_out]
                own = " and " if isinstance(node.op, ast.And) else " or "
                text = own.join(self._operand(value) for value in kept)
                yield node, f"({text})" if len(kept) > 1 and isinstance(parent, ast.expr) else text
        elif isinstance(node, ast.Compare):
            left = node.left
            for operator, right in zip(node.ops, node.comparators, strict=True):
                for text in COMPARISONS[type(operator)]:
                    yield self._operator(left, operator, right), text
                left = right
        elif isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
            if not any(_is_text(part) for part in (node.left, node.right)):
                yield self._operator(node.left, node.op, node.right), OPERATORS[type(node.op)]
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            yield node, f"({self._text(node.operand)})"
        elif isinstance(node, ast.IfExp):
            pass  # its condition is turned round, as any other
        elif isinstance(node, ast.Constant) and isinstance(node.value, (bool, int)):
            changed = {"True": "False", "False": "True", "0": "1", "1": "0"}
            if str(node.value) in changed:
                yield node, changed[str(node.value)]
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in CALLS
            and not (node.func.id == "sorted" and node.keywords and len(node.args) != 1)
        ):
            if node.func.id == "sorted":
                yield node, f"list({self._text(node.args[0])})"
            else:
                yield node.func, CALLS[node.func.id]

    # Text

    def _at(self, line: int, column: int) -> int:
        return self._starts[line - 1] + column

    def _span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return (
            self._at(node.lineno, node.col_offset),
            self._at(node.end_lineno, node.end_col_offset),
        )

    def _text(self, node: ast.expr) -> str:
        start, end = self._span(node)
        return self._bytes[start:end].decode()

    def _operand(self, node: ast.expr) -> str:
        is_not = isinstance(node, ast.UnaryOp)
        text = self._text(node)
        return text if is_not or isinstance(node, BINDS_TIGHTLY) else f"({text})"

    def _operator(self, left: ast.expr, operator: ast.AST, right: ast.expr) -> tuple[int, int]:
        start, end = self._span(left)[1], self._span(right)[0]
        found = re.search(SPELLED[type(operator)].encode(), self._bytes[start:end])
        assert found is not None
        return start + found.start(), start + found.end()

    def _add(self, where: ast.expr | ast.stmt | tuple[int, int], text: str) -> None:
        start, end = where if isinstance(where, tuple) else self._span(where)
        source = (self._bytes[:start] + text.encode() + self._bytes[end:]).decode()
        first = self._bytes.rfind(b"\n", 0, start) + 1
        last = self._bytes.find(b"\n", end)
        before = _squeezed(self._bytes[first:last])
        after = _squeezed(self._bytes[first:start] + text.encode() + self._bytes[end:last])
        scope = ".".join(self._scope)
        self._met[scope, before, after] += 1
        self._found.append(
            Mutant(
                self._module, scope, before, after, self._met[scope, before, after],
                self._bytes.count(b"\n", 0, start) + 1, self._lines, *self._outer, self._names,
                source,
            )
        )  # fmt: skip


def _statement_changes(node: ast.stmt, *, is_last: bool) -> Iterator[tuple[ast.stmt, str]]:
    if isinstance(node, (ast.Expr, ast.Raise, ast.AugAssign)):
        yield node, "pass"
    elif isinstance(node, (ast.Assign, ast.Delete)):
        if isinstance(node.targets[0], (ast.Attribute, ast.Subscript)):
            yield node, "pass"
    elif isinstance(node, ast.Return):
        if node.value is None:
            if not is_last:
                yield node, "pass"
        elif not isinstance(node.value, ast.Constant):
            yield node, "return None"
    elif isinstance(node, ast.Break):
        yield node, "continue"
    elif isinstance(node, ast.Continue):
        yield node, "break"
        yield node, "pass"


def _is_left_alone(node: ast.stmt) -> bool:
    if isinstance(node, (*FUNCTION, ast.ClassDef)):
        overload = any("overload" in ast.unparse(one) for one in node.decorator_list)
        protocol = any("Protocol" in ast.unparse(one) for one in getattr(node, "bases", ()))
        return overload or protocol or node.name in NOT_MUTATED
    if isinstance(node, ast.Assign):
        is_type = isinstance(node.value, ast.Call) and "TypeVar" in ast.unparse(node.value.func)
        named = (one.id for one in node.targets if isinstance(one, ast.Name))
        return is_type or not NOT_MUTATED.isdisjoint(named)
    if isinstance(node, ast.AnnAssign):
        return "TypeAlias" in ast.unparse(node.annotation)
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    if isinstance(node, ast.Raise):  # what a class leaves to those that are made of it
        return isinstance(node.exc, ast.Name) and node.exc.id == "NotImplementedError"
    return isinstance(node, (ast.Import, ast.ImportFrom, ast.Assert, ast.Global, ast.Nonlocal))


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes))
    )


def _end_of_head(node: ast.stmt) -> int:
    """The last line of a statement, without the block it may have."""
    body: list[ast.stmt] | None = getattr(node, "body", None)
    if body:
        return max(node.lineno, body[0].lineno - 1)
    return node.end_lineno or node.lineno


def _squeezed(text: bytes) -> str:
    return " ".join(text.decode().split())
