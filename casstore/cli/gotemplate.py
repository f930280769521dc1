"""Go's text/template, as Docker's users write it in --format.

    fields {{.A.B}}, {{.}}, {{$x}}, pipelines {{.A | json}}, calls {{printf "%s" .A}}, parentheses,
    if / else if / else, range [$i, $e :=] / else / break / continue, with / else, variables,
    and / or that stop early, define / template / block, methods of times, comments,
    trim markers {{- -}}, strings "..." and `...`

A template is compiled to closures (goexec.py) once and run for every row. Errors are one line, in
Go's words where Go has them:
`template parsing error: template: :1:2: executing "" at <.Nope>: ...`.
"""

from __future__ import annotations

from casstore.cli import goexec
from casstore.cli.gofunctions import FUNCTIONS
from casstore.cli.gotokens import (
    BOOL,
    CLOSE,
    FIELD,
    NIL,
    NUMBER,
    STRING,
    VARIABLE,
    WORD,
    TemplateError,
    Tokens,
    quoted,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.cli.goexec import Expression, Failure, Node, Run

_SHORT_CIRCUIT = ("and", "or")
_ENDS = ("|", ")", CLOSE)  # of a command
_KEYWORDS = frozenset(
    ("if", "with", "range", "break", "continue", "define", "template", "block", "end", "else")
)


class Template:
    """A compiled template."""

    def __init__(self, text: str) -> None:
        """Compile `text`. Raises TemplateError."""
        self._body = _Parser(text).document()

    def render(self, data: object, *, header: bool = False) -> str:
        """Run it on `data`; `header` makes the functions leave column titles alone.

        Raises:
            TemplateError: a field that is not there, a wrong argument.
        """
        run = goexec.Run(data, header=header)
        run.all(self._body)
        return "".join(run.out)


class _Parser:
    """Tokens to closures, by recursive descent."""

    def __init__(self, source: str) -> None:
        self._tokens = Tokens(source)
        self._names = ["$"]  # variables in scope
        self._loops = 0
        self._depth = 0  # blocks that are open
        self._templates: dict[str, list[Node]] = {}
        # what a method of the last field would be called on: the field's value, name, failure
        self._last_field: tuple[Expression, str, Failure] | None = None

    def document(self) -> list[Node]:
        self._depth = -1
        nodes, stopped = self._nodes()
        if stopped:
            raise self._tokens.wrong(f"unexpected {{{{{stopped}}}}}")
        return nodes

    # Actions

    def _nodes(self) -> tuple[list[Node], str]:
        # Nodes up to {{end}}, {{else ...}} or the end of the source, and which of them it was.
        nodes: list[Node] = []
        scope = len(self._names)
        self._depth += 1
        while True:
            text, more = self._tokens.text()
            if text:
                nodes.append(goexec.literal(text))
            if not more:
                return nodes, ""
            if self._tokens.skip_comment():
                continue
            token = self._tokens.advance()
            word = token.text if token.kind == WORD else ""
            if word in ("end", "else"):
                self._tokens.advance()
                if word == "end":
                    self._close()
                del self._names[scope:]
                self._depth -= 1
                return nodes, word
            nodes.append(self._action(word))

    def _action(self, word: str) -> Node:
        if word in ("if", "with"):
            return self._if(word)
        if word == "range":
            return self._range()
        if word in ("break", "continue"):
            if not self._loops:
                raise self._tokens.wrong(f"{{{{{word}}}}} outside {{{{range}}}}")
            self._tokens.advance()
            self._close()
            return goexec.leave(word)
        if word == "define" and not self._depth:
            self._tokens.advance()
            self._define(self._template_name("define"))
            return goexec.literal("")
        if word in ("template", "block"):
            return self._template(word)
        if word in _KEYWORDS:
            raise self._tokens.wrong(f"unexpected {{{{{word}}}}}")
        names, declares, value = self._pipeline()
        self._close()
        if names:
            return goexec.assign(names[0], value, declares=declares)
        return goexec.show(value)

    # Templates

    def _template_name(self, word: str) -> str:
        token = self._tokens.token
        if token.kind != STRING:
            raise self._tokens.wrong(f"unexpected {quoted(token.text)} in {word} clause")
        self._tokens.advance()
        return token.text

    def _define(self, name: str) -> None:
        # the rest of {{define "name"}}, and of a {{block}}: a template with variables of its own
        self._close()
        outer = self._names, self._loops, self._depth
        self._names, self._loops = ["$"], 0
        body, stopped = self._nodes()
        if stopped != "end":
            raise self._tokens.wrong(
                f"unexpected {{{{{stopped}}}}}" if stopped else "unexpected EOF"
            )
        self._names, self._loops, self._depth = outer
        self._templates[name] = body

    def _template(self, word: str) -> Node:
        where = self._tokens.token.at
        self._tokens.advance()
        name = self._template_name(word)
        value = None
        if word == "block" or self._tokens.token.kind != CLOSE:
            _, _, value = self._pipeline()
        if word == "block":
            self._define(name)
        self._close()
        fail = self._failure(where, f"{{{{template {quoted(name)}}}}}")

        def find() -> list[Node]:  # it may be defined further on
            try:
                return self._templates[name]
            except KeyError:
                raise fail(f"template {quoted(name)} not defined") from None

        return goexec.use(find, value)

    def _if(self, word: str) -> Node:
        scope = len(self._names)
        self._tokens.advance()
        names, declares, value = self._pipeline()
        self._close()
        body, stopped = self._nodes()
        otherwise = self._else(stopped, chain=True)
        del self._names[scope:]

        def bind(run: Run, found: object) -> None:
            for name in names:
                run.set(name, found, declares=declares)

        return goexec.choose(bind, value, body, otherwise, rebinds=word == "with")

    def _range(self) -> Node:
        scope = len(self._names)
        where = self._tokens.advance().at
        names, declares, value = self._pipeline(loop=True)
        shown = self._tokens.between(where, self._tokens.token.at)
        self._close()
        self._loops += 1
        body, stopped = self._nodes()
        self._loops -= 1
        otherwise = self._else(stopped, chain=False)
        del self._names[scope:]

        def bind(run: Run, key: object, item: object) -> None:
            # one variable is the item, two are the key and the item
            for name, found in zip(reversed(names), (item, key), strict=False):
                run.set(name, found, declares=declares)

        return goexec.repeat(bind, value, body, otherwise, self._failure(where, shown))

    def _else(self, stopped: str, *, chain: bool) -> list[Node]:
        # What follows the body: nothing, {{else if ...}} and so on, or {{else}} up to {{end}}.
        if not stopped:
            raise self._tokens.wrong("unexpected EOF")
        if stopped == "end":
            return []
        token = self._tokens.token
        if chain and token.kind == WORD and token.text in ("if", "with"):
            return [self._if(token.text)]
        self._close()
        nodes, stopped = self._nodes()
        if stopped != "end":
            raise self._tokens.wrong(
                f"unexpected {{{{{stopped}}}}}" if stopped else "unexpected EOF"
            )
        return nodes

    # Pipelines

    def _pipeline(self, *, loop: bool = False) -> tuple[list[str], bool, Expression]:
        names, declares = self._assigned(most=goexec.KEY_AND_ITEM if loop else 1)
        value = self._piped()
        for name in names:
            if declares:
                self._names.append(name)
            elif name not in self._names:
                raise self._tokens.wrong(f"undefined variable {quoted(name)}")
        return names, declares, value

    def _assigned(self, *, most: int) -> tuple[list[str], bool]:
        # `$x :=`, `$x =` or `$i, $e :=` at the start of a pipeline, and whether it declares
        start = self._tokens.mark()
        names: list[str] = []
        while self._tokens.token.kind == VARIABLE and len(names) < most:
            names.append(self._tokens.token.text)
            sign = self._tokens.advance().kind
            if sign in (":=", "="):
                self._tokens.advance()
                return names, sign == ":="
            if sign != ",":
                break
            self._tokens.advance()
        self._tokens.back(start)
        return [], False

    def _piped(self) -> Expression:
        value = self._command(None)
        while self._tokens.token.kind == "|":
            self._tokens.advance()
            value = self._command(value)
        return value

    def _command(self, piped: Expression | None) -> Expression:
        first = self._tokens.token
        if first.kind == WORD:
            self._check_function(first.text)
            self._tokens.advance()
            arguments = self._arguments(piped)
            return self._call(first.text, arguments, first.at)
        if first.kind in _ENDS:
            raise self._tokens.wrong("missing value for command")
        value = self._operand()
        last = self._last_field
        after = self._tokens.token
        if after.kind in _ENDS and piped is None:
            if first.kind == NIL:
                raise self._tokens.wrong("nil is not a command")
            return value
        if last is None:
            if after.kind not in _ENDS:
                raise self._tokens.wrong(f"unexpected {quoted(after.text)} in operand")
            raise self._tokens.wrong("only a function can stand after a pipe")
        return goexec.field(*last, self._arguments(piped))

    def _arguments(self, piped: Expression | None) -> list[Expression]:
        # the operands up to the end of the command, and what came through the pipe
        arguments = []
        while self._tokens.token.kind not in _ENDS:
            arguments.append(self._operand())
        return arguments if piped is None else [*arguments, piped]

    def _call(self, name: str, arguments: list[Expression], where: int) -> Expression:
        if name in _SHORT_CIRCUIT:
            if not arguments:
                raise self._tokens.wrong(f"wrong number of args for {name}: want at least 1 got 0")
            return goexec.first(arguments, stop_at=name == "or")
        shown = self._tokens.between(where, self._tokens.token.at) if arguments else name
        return goexec.function(name, arguments, self._failure(where, shown))

    def _operand(self) -> Expression:
        token = self._tokens.token
        value: Expression
        fields: list[tuple[str, int]] = []  # names, and where they stand
        if token.kind == FIELD:
            value = goexec.dot
            fields.append((token.text, token.at))
        elif token.kind == ".":
            value = goexec.dot
        elif token.kind == VARIABLE:
            if token.text not in self._names:
                raise self._tokens.wrong(f"undefined variable {quoted(token.text)}")
            value = goexec.variable(token.text)
        elif token.kind == "(":
            self._tokens.advance()
            value = self._piped()
            if self._tokens.token.kind != ")":
                raise self._tokens.wrong("unclosed left paren")
        elif token.kind == WORD:
            self._check_function(token.text)
            value = self._call(token.text, [], token.at)
        else:
            value = goexec.constant(self._constant_value())
        self._tokens.advance()
        while self._tokens.token.kind == FIELD and self._tokens.token.glued:
            fields.append((self._tokens.token.text, self._tokens.token.at))
            self._tokens.advance()
        self._last_field = None
        if not fields:
            return value
        # Go tells of a whole chain of fields, and places it at the second one.
        chain = self._tokens.between(token.at, fields[-1][1] + 1 + len(fields[-1][0]))
        of_field = token.kind == FIELD and len(fields) > 1
        fail = self._failure(fields[1 if of_field else 0][1], chain)
        for name, _ in fields:
            self._last_field = value, name, fail
            value = goexec.field(value, name, fail)
        return value

    def _constant_value(self) -> object:
        token = self._tokens.token
        if token.kind == STRING:
            return token.text
        if token.kind == BOOL:
            return token.text == "true"
        if token.kind == NIL:
            return None
        if token.kind != NUMBER:
            raise self._tokens.wrong(f"unexpected {quoted(token.text)} in operand")
        digits = token.text.lstrip("+-")
        old = len(digits) > 1 and digits[0] == "0" and digits.isdecimal()  # octal, as in C
        try:
            return int(token.text, 8 if old else 0)
        except ValueError:
            pass
        try:
            return float(token.text)
        except ValueError:
            raise self._tokens.wrong(f"bad number syntax: {quoted(token.text)}") from None

    # Checks

    def _check_function(self, name: str) -> None:
        if name not in FUNCTIONS and name not in _SHORT_CIRCUIT:
            place = "unexpected keyword" if name in _KEYWORDS else "function"
            raise self._tokens.wrong(f"{place} {quoted(name)} not defined")

    def _close(self) -> None:
        if self._tokens.token.kind != CLOSE:
            raise self._tokens.wrong(f"unexpected {quoted(self._tokens.token.text)} in command")

    def _failure(self, where: int, shown: str) -> Failure:
        place = self._tokens.place(where)

        def fail(message: str) -> TemplateError:
            return TemplateError(
                f'template parsing error: template: :{place}: executing "" at <{shown}>: {message}'
            )

        return fail
