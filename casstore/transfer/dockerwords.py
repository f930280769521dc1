"""Words of a Dockerfile: quotes, backslashes and `$` variables, as Docker's builder reads them.

Not a shell's rules, though close: a variable nobody set is empty, there are no commands and no
globs, and only `:-` and `:+` stand between name and closing brace. Source: moby's
`shell.Lex` (ProcessWord, ProcessWords) and the parser's `parseWords`; tried on dockerd 20.10.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from casstore.errors import Refused, printable, quote

if TYPE_CHECKING:
    from collections.abc import Mapping

ESCAPE = "\\"
MAX_NESTING = 100  # variables in what stands for a variable
_END = ""
_SPECIAL = frozenset("@*#?-$!0")


def split(text: str) -> list[str]:
    """Words at white space that is neither quoted nor escaped; quotes and backslashes stay."""
    words: list[str] = []
    word: str | None = None
    quoted = _END
    at = 0
    while at < len(text):
        c = text[at]
        at += 1
        if word is None:
            if c.isspace():
                continue
            word = ""
        if not quoted and c.isspace():
            words.append(word)
            word = None
            continue
        if c == ESCAPE:
            if at == len(text):
                break  # a backslash at the very end escapes nothing
            word += c + text[at]
            at += 1
            continue
        if c == quoted:
            quoted = _END
        elif not quoted and c in "'\"":
            quoted = c
        word += c
    if word is not None:
        words.append(word)
    return words


def expand(text: str, variables: Mapping[str, str]) -> str:
    """`text` as one word, without its quotes and with the values of its variables.

    Raises:
        Refused: an open quote, or a `${` that is none of the forms above.
    """
    return _Expansion(text, variables).run()[0]


def expand_words(text: str, variables: Mapping[str, str]) -> list[str]:
    """The same, split at white space that is not quoted, also where a variable brought it."""
    return _Expansion(text, variables).run()[1]


class _Expansion:
    """One pass over one text."""

    def __init__(self, text: str, variables: Mapping[str, str]) -> None:
        self._text = text
        self._variables = variables
        self._at = 0
        self._depth = 0

    def run(self) -> tuple[str, list[str]]:
        """All of it: as one word, and as several."""
        result, words, word = "", [], ""
        for part, raw in self._parts(stop=_END):
            result += part
            if raw:
                word += part
                continue
            for c in part:
                if not c.isspace():
                    word += c
                elif word:
                    words.append(word)
                    word = ""
        return result, [*words, word] if word else words

    def _parts(self, stop: str) -> list[tuple[str, bool]]:
        """Pieces up to the character `stop`, and whether white space in them is content."""
        parts: list[tuple[str, bool]] = []
        while (c := self._next()) != stop:
            if c == _END:
                raise self._wrong(f"unexpected end of statement while looking for matching {stop}")
            if c == "'":
                parts.append((self._single(), True))
            elif c == '"':
                parts.append((self._double(), True))
            elif c == "$":
                parts.append((self._dollar(), False))
            elif c == ESCAPE:
                parts.append((self._next(), True))
            else:
                parts.append((c, False))
        return parts

    def _single(self) -> str:
        end = self._text.find("'", self._at)
        if end < 0:
            raise self._open_quote("single")
        part, self._at = self._text[self._at : end], end + 1
        return part

    def _double(self) -> str:
        part = ""
        while (c := self._next()) != '"':
            if c == _END:
                raise self._open_quote("double")
            if c == "$":
                c = self._dollar()
            elif c == ESCAPE and self._peek() in ('"', "$", ESCAPE, _END):
                c = self._next()  # all others stay behind their backslash
            part += c
        return part

    def _dollar(self) -> str:
        if self._peek() != "{":
            name = self._name()
            return self._variables.get(name, "") if name else "$"
        self._next()
        if self._peek() == _END:
            raise self._wrong("syntax error: missing '}'")
        if self._peek() in "{}:":
            raise self._wrong("syntax error: bad substitution")
        value = self._variables.get(self._name(), "")
        after = self._next()
        if after == "}":
            return value
        if after != ":":
            raise self._wrong("missing ':' in substitution")
        modifier = self._next()
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise self._wrong(f"substitutions are nested deeper than {MAX_NESTING}")
        word = "".join(part for part, _ in self._parts(stop="}"))
        self._depth -= 1
        if modifier == "-":
            return value or word
        if modifier == "+":
            return word if value else ""
        raise self._wrong(f"unsupported modifier ({printable(modifier)}) in substitution")

    def _name(self) -> str:
        first = self._peek()
        if first in _SPECIAL:
            return self._next()
        start = self._at
        digits = first.isdigit()
        while (c := self._peek()).isdigit() or (not digits and (c.isalpha() or c == "_")):
            self._at += 1
        return self._text[start : self._at]

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _next(self) -> str:
        c = self._peek()
        self._at += 1
        return c

    def _open_quote(self, kind: str) -> Refused:
        return self._wrong(f"unexpected end of statement while looking for matching {kind}-quote")

    def _wrong(self, what: str) -> Refused:
        return Refused(f"failed to process {quote(self._text)}: {what}")
