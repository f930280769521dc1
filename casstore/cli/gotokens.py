"""Go templates cut into text and tokens: the lexical half of text/template.

Text stands between actions; an action is `{{ ... }}`, its insides are tokens. Blanks matter in
three places only: at the trim markers, before a field (`.a .b` is two operands, `.a.b` is one), and
inside strings.
"""

from __future__ import annotations

from casstore.errors import CasstoreError, printable
from casstore.startup.value import Value

# Kinds of token; signs (`|`, `(`, `)`, `,`, `=`, `:=`, `.`) are their own kind.
WORD = "word"
FIELD = "field"
VARIABLE = "variable"
STRING = "string"
NUMBER = "number"
BOOL = "bool"
NIL = "nil"
CLOSE = "}}"

SHOWN = 80  # characters of the template that a message quotes

_SPACE = " \t\r\n"
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_CODE_POINTS = {"x": 2, "u": 4, "U": 8}  # escape -> hex digits


class TemplateError(CasstoreError):
    """A template that does not parse, or does not fit what it is run on."""


class Token(Value):
    """One token of an action."""

    kind: str
    text: str
    at: int  # where it starts in the template
    glued: bool  # it follows the token before it without a blank


class Tokens:
    """A cursor over a template; `token` is the one it stands on."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._at = 0
        self._trim = False  # the last action ended in a trim marker
        self.token = Token(CLOSE, "", 0, glued=False)

    def text(self) -> tuple[str, bool]:
        """The text up to the next action, and whether there is one; its first token is next."""
        source, start = self._source, self._at
        opening = source.find("{{", start)
        found = opening >= 0
        end = opening if found else len(source)
        self._at = end + 2 if found else end
        text = source[start:end]
        if self._trim:
            text = text.lstrip(_SPACE)
        if found and source[self._at : self._at + 1] == "-" and self._blank(self._at + 1):
            self._at += 1
            text = text.rstrip(_SPACE)
        self._trim = False
        return text, found

    def skip_comment(self) -> bool:
        """Whether the action that begins here was a comment, which is passed over."""
        source, start = self._source, self._at
        while self._blank(start):
            start += 1
        if not source.startswith("/*", start):
            return False
        end = source.find("*/", start + 2)
        if end < 0:
            raise self.wrong("unclosed comment")
        end += 2
        self._trim = self._blank(end) and source.startswith("-}}", end + 1)
        end += 2 if self._trim else 0
        if not source.startswith(CLOSE, end):
            raise self.wrong("comment ends before closing delimiter")
        self._at = end + len(CLOSE)
        return True

    def advance(self) -> Token:
        """Go on to the next token of the action, and return it."""
        source, at = self._source, self._at
        while self._blank(at):
            at += 1
        glued = at == self._at
        c = source[at : at + 1]
        if not c:
            raise self.wrong("unclosed action")
        if source.startswith(CLOSE, at):
            self._stand(CLOSE, CLOSE, at, at + 2, glued=glued)
        elif source.startswith("-}}", at) and not glued:
            self._trim = True
            self._stand(CLOSE, CLOSE, at, at + 3, glued=glued)
        elif source.startswith(":=", at):
            self._stand(":=", ":=", at, at + 2, glued=glued)
        elif c in "|(),=":
            self._stand(c, c, at, at + 1, glued=glued)
        elif c in "\"`'":
            self._string(at, glued=glued)
        elif c.isdigit() or (c in "+-." and source[at + 1 : at + 2].isdigit()):
            end = self._end(at + 1, "._+-")
            self._stand(NUMBER, source[at:end], at, end, glued=glued)
        elif c in ".$" or _begins_name(c):
            self._name(at, glued=glued)
        else:
            raise self.wrong(f"unexpected {quoted(c)} in command")
        return self.token

    def wrong(self, message: str) -> TemplateError:
        """The error for a template that does not parse, to be raised."""
        line = self._source.count("\n", 0, self._at) + 1
        return TemplateError(f"template parsing error: template: :{line}: {message}")

    def place(self, at: int) -> str:
        """`line:column` of a position, as Go counts them: from 1 and from 0."""
        line = self._source.count("\n", 0, at) + 1
        return f"{line}:{at - (self._source.rfind(chr(10), 0, at) + 1)}"

    def between(self, start: int, end: int) -> str:
        """A piece of the template, without blanks around it."""
        return self._source[start:end].strip(_SPACE)

    def mark(self) -> tuple[int, Token, bool]:
        """Where the cursor stands, for `back`."""
        return self._at, self.token, self._trim

    def back(self, mark: tuple[int, Token, bool]) -> None:
        """Return to a mark."""
        self._at, self.token, self._trim = mark

    def _blank(self, at: int) -> bool:
        c = self._source[at : at + 1]
        return c != "" and c in _SPACE

    def _stand(self, kind: str, text: str, start: int, end: int, *, glued: bool) -> None:
        self._at = end
        self.token = Token(kind, text, start, glued=glued)

    def _name(self, at: int, *, glued: bool) -> None:
        # `.`, `.Field`, `$`, `$variable`, or a word
        source = self._source
        first = source[at]
        if first == "." and not _begins_name(source[at + 1 : at + 2]):
            self._stand(".", ".", at, at + 1, glued=glued)
            return
        end = self._end(at + 1, "_")
        text = source[at:end]
        if first == ".":
            self._stand(FIELD, text[1:], at, end, glued=glued)
        elif first == "$":
            self._stand(VARIABLE, text, at, end, glued=glued)
        else:
            kind = {"true": BOOL, "false": BOOL, "nil": NIL}.get(text, WORD)
            self._stand(kind, text, at, end, glued=glued)

    def _end(self, at: int, also: str) -> int:
        # the end of a name or number; a sign belongs to it only as part of an exponent
        source = self._source
        while at < len(source) and (source[at].isalnum() or source[at] in also):
            if source[at] in "+-" and source[at - 1] not in "eE":
                break
            at += 1
        return at

    def _string(self, start: int, *, glued: bool) -> None:
        source, mark = self._source, self._source[start]
        at, out = start + 1, []
        while at < len(source) and source[at] != mark:
            c = source[at]
            at += 1
            if c == "\n" and mark != "`":
                raise self.wrong("unterminated quoted string")
            if c == "\\" and mark != "`":
                c, at = self._escape(at)
            out.append(c)
        if at >= len(source):
            raise self.wrong(
                "unterminated raw quoted string" if mark == "`" else "unterminated quoted string"
            )
        text = "".join(out)
        if mark != "'":
            self._stand(STRING, text, start, at + 1, glued=glued)
        elif len(text) == 1:
            self._stand(NUMBER, str(ord(text)), start, at + 1, glued=glued)
        else:
            raise self.wrong("malformed character constant")

    def _escape(self, at: int) -> tuple[str, int]:
        c = self._source[at : at + 1]
        if c in _CODE_POINTS:
            end = at + 1 + _CODE_POINTS[c]
            try:
                return chr(int(self._source[at + 1 : end], 16)), end
            except (ValueError, OverflowError):
                raise self.wrong("invalid escape in string") from None
        if c and c in "0123":  # three octal digits
            digits = self._source[at : at + 3]
            if len(digits) == 3 and not digits.strip("01234567"):
                return chr(int(digits, 8)), at + 3
        if c and c in "\\\"'":
            return c, at + 1
        if c in _ESCAPES:
            return _ESCAPES[c], at + 1
        raise self.wrong("invalid escape in string")


def quoted(text: str) -> str:
    """A piece of the template for a message."""
    return '"' + printable(text[:SHOWN]) + '"'


def _begins_name(c: str) -> bool:
    return c.isalpha() or c == "_"
