"""What a compiled template is made of: closures that run on a `Run`.

The parser in gotemplate.py builds them; here is what each part of a template does.
"""

from __future__ import annotations

from casstore.cli.gofunctions import FUNCTIONS, HEADER_FUNCTIONS, call
from casstore.cli.gotokens import TemplateError
from casstore.cli.govalues import Fault, RawMap, kind, method, printed, truth
from casstore.cli.jsontext import NIL_POINTER, Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    Expression = Callable[["Run"], object]
    Node = Callable[["Run"], None]
    Failure = Callable[[str], TemplateError]  # what went wrong -> the error that says where

MAX_OUTPUT = 16 << 20  # characters that one run may produce
MAX_DEPTH = 100  # templates that call one another
KEY_AND_ITEM = 2  # variables of `range $i, $e :=`


class _Break(Exception):
    pass


class _Continue(Exception):
    pass


class Run:
    """One execution: where output goes, what `.` and the variables are."""

    __slots__ = ("_depth", "_length", "dot", "functions", "out", "variables")

    def __init__(self, data: object, *, header: bool) -> None:
        self._depth = 0
        self.dot = data
        self.out: list[str] = []
        self.variables: list[tuple[str, object]] = [("$", data)]
        self.functions = HEADER_FUNCTIONS if header else FUNCTIONS
        self._length = 0

    def emit(self, text: str) -> None:
        """Add to the output."""
        self.out.append(text)
        self._length += len(text)
        if self._length > MAX_OUTPUT:
            raise TemplateError("template parsing error: the output is too long")

    def all(self, nodes: Sequence[Node]) -> None:
        """Run one node after the other."""
        for node in nodes:
            node(self)

    def template(self, nodes: Sequence[Node], data: object) -> None:
        """Run another template, which sees none of the variables of this one."""
        if self._depth == MAX_DEPTH:
            raise TemplateError(
                f"template parsing error: templates are nested deeper than {MAX_DEPTH}"
            )
        outer = self.dot, self.variables
        self.dot, self.variables = data, [("$", data)]
        self._depth += 1
        try:
            self.all(nodes)
        finally:
            self._depth -= 1
            self.dot, self.variables = outer

    def value(self, name: str) -> object:
        """A variable's value, of the innermost one of that name."""
        for known, value in reversed(self.variables):
            if known == name:
                return value
        raise KeyError(name)  # the parser lets only names in scope through

    def set(self, name: str, value: object, *, declares: bool) -> None:
        """`$x := value`, or `$x = value` for the innermost one of that name."""
        if not declares:
            for at in range(len(self.variables) - 1, -1, -1):
                if self.variables[at][0] == name:
                    self.variables[at] = (name, value)
                    return
        self.variables.append((name, value))


# Expressions


def dot(run: Run) -> object:
    """`.`, what the template stands on now."""
    return run.dot


def constant(value: object) -> Expression:
    """A literal."""
    return lambda _run: value


def variable(name: str) -> Expression:
    """`$name`."""
    return lambda run: run.value(name)


def field(
    base: Expression, name: str, fail: Failure, arguments: Sequence[Expression] = ()
) -> Expression:
    """`base.name`, or a method of that name, called with what follows it.

    Of a struct a field must be there, of a map it need not.
    """

    def get(run: Run) -> object:
        value = base(run)
        found = method(value, name)
        if found is not None:
            given = [argument(run) for argument in arguments]
            return _method(found, name, value, given, fail)
        if arguments:
            raise fail(f"{name} is not a method but has arguments")
        if isinstance(value, Struct):
            try:
                return value.field(name)
            except KeyError:
                raise fail(f'map has no entry for key "{name}"') from None
        if isinstance(value, RawMap) and name not in value:
            raise fail(f'map has no entry for key "{name}"')
        if isinstance(value, dict):
            return value.get(name)
        if value is None or value is NIL_POINTER:
            raise fail(f"nil pointer evaluating interface {{}}.{name}")
        raise fail(f"can't evaluate field {name} in type {kind(value)}")

    return get


def _method(
    found: tuple[Callable[..., object], int],
    name: str,
    value: object,
    given: Sequence[object],
    fail: Failure,
) -> object:
    call_it, wanted = found
    if len(given) != wanted:
        raise fail(f"wrong number of args for {name}: want {wanted} got {len(given)}")
    if any(not isinstance(argument, str) for argument in given):  # all that a method takes here
        raise fail("wrong type for value; expected string")
    try:
        return call_it(value, *given)
    except (ValueError, OverflowError):
        raise fail(f"error calling {name}: it cannot be told of {value}") from None


def function(name: str, arguments: Sequence[Expression], fail: Failure) -> Expression:
    """A call of one of `FUNCTIONS`."""

    def apply(run: Run) -> object:
        values = [argument(run) for argument in arguments]
        try:
            return call(name, run.functions, values)
        except Fault as fault:
            raise fail(str(fault)) from None

    return apply


def first(arguments: Sequence[Expression], *, stop_at: bool) -> Expression:
    """`or`: the first value that is true; `and`: the first that is not; else the last one."""

    def decide(run: Run) -> object:
        found: object = None
        for argument in arguments:
            found = argument(run)
            if truth(found) is stop_at:
                break
        return found

    return decide


# Nodes


def literal(text: str) -> Node:
    """Text between actions."""
    return lambda run: run.emit(text)


def show(value: Expression) -> Node:
    """`{{pipeline}}`."""
    return lambda run: run.emit(printed(value(run)))


def assign(name: str, value: Expression, *, declares: bool) -> Node:
    """`{{$x := pipeline}}` or `{{$x = pipeline}}`."""
    return lambda run: run.set(name, value(run), declares=declares)


def use(template: Callable[[], Sequence[Node]], value: Expression | None) -> Node:
    """`{{template "name" pipeline}}`."""
    return lambda run: run.template(template(), None if value is None else value(run))


def leave(word: str) -> Node:
    """`{{break}}` or `{{continue}}`."""
    exception = _Break if word == "break" else _Continue

    def jump(_run: Run) -> None:
        raise exception

    return jump


def choose(
    bind: Callable[[Run, object], None],
    value: Expression,
    body: Sequence[Node],
    otherwise: Sequence[Node],
    *,
    rebinds: bool,
) -> Node:
    """`{{if}}`, or with `rebinds` `{{with}}`; `bind` sets the variables of the pipeline."""

    def node(run: Run) -> None:
        found = value(run)
        depth, outer = len(run.variables), run.dot
        bind(run, found)
        try:
            if not truth(found):
                run.all(otherwise)
                return
            if rebinds:
                run.dot = found
            run.all(body)
        finally:
            run.dot = outer
            del run.variables[depth:]

    return node


def repeat(
    bind: Callable[[Run, object, object], None],
    value: Expression,
    body: Sequence[Node],
    otherwise: Sequence[Node],
    fail: Failure,
) -> Node:
    """`{{range}}`; `bind` sets the variables to a key and its item."""

    def node(run: Run) -> None:
        depth, outer = len(run.variables), run.dot
        looped = False
        for key, item in _pairs(value(run), fail):
            looped = True
            run.dot = item
            bind(run, key, item)
            try:
                run.all(body)
            except _Continue:
                pass
            except _Break:
                break
            finally:
                run.dot = outer
                del run.variables[depth:]
        if not looped:
            run.all(otherwise)

    return node


def _pairs(value: object, fail: Failure) -> Iterable[tuple[object, object]]:
    if value is None:
        return ()
    if isinstance(value, (list, tuple)):
        return list(enumerate(value))
    if isinstance(value, dict) and not isinstance(value, Struct):
        return [(key, value[key]) for key in sorted(value)]
    if isinstance(value, int) and not isinstance(value, bool):
        return ((i, i) for i in range(value))
    raise fail(f"range can't iterate over {printed(value)}")
