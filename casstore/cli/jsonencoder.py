"""JSON text of plain values, byte for byte what `json.dumps` writes.

Importing json costs as much as all else that `inspect` does, because it brings `re`. What a
command prints is strings, numbers, lists and objects: forty lines. A test compares them with json.
"""

from __future__ import annotations

# What must not stand in a string (RFC 8259, section 7), in json's spelling.
_ESCAPES = {
    **{number: f"\\u{number:04x}" for number in range(0x20)},
    ord('"'): '\\"',
    ord("\\"): "\\\\",
    ord("\n"): "\\n",
    ord("\r"): "\\r",
    ord("\t"): "\\t",
    ord("\f"): "\\f",
    ord("\b"): "\\b",
}


def document_text(document: object, indent: int | None = None) -> str:
    """A document in UTF-8 where all of it can be shown, else in ASCII with escapes.

    Args:
        document: as `encode` takes it.
        indent: as there.
    """
    text = encode(document, indent)
    if text.replace("\n", "").isprintable():
        return text
    import json  # 5 ms: only for what a terminal cannot show

    return json.dumps(document, indent=indent, separators=(",", ":" if indent is None else ": "))


def encode(value: object, indent: int | None = None) -> str:
    """`json.dumps(value, ensure_ascii=False)` with Go's separators; keys are strings.

    Args:
        value: None, booleans, strings, finite numbers, lists, and dicts with keys of text.
        indent: blanks for each level; None puts all on one line, without blanks.
    """
    out: list[str] = []
    _write(value, out, "\n" if indent is not None else "", " " * (indent or 0))
    return "".join(out)


def _quoted(text: str) -> str:
    if text.isprintable() and '"' not in text and "\\" not in text:  # nearly every string
        return f'"{text}"'
    return f'"{text.translate(_ESCAPES)}"'


def _write(value: object, out: list[str], line: str, step: str) -> None:
    # `line` is what comes between two items: a newline and the blanks of this level, or nothing.
    if isinstance(value, str):
        out.append(_quoted(value))
    elif value is None or value is True or value is False:
        out.append("null" if value is None else "true" if value else "false")
    elif isinstance(value, (int, float)):
        out.append((int if isinstance(value, int) else float).__repr__(value))
    elif not value:
        out.append("{}" if isinstance(value, dict) else "[]")
    elif isinstance(value, dict):
        colon = ": " if line else ":"
        before = "{" + line + step
        for key, item in value.items():
            out.append(f"{before}{_quoted(key)}{colon}")
            _write(item, out, line + step, step)
            before = "," + line + step
        out.append(line + "}")
    else:
        assert isinstance(value, (list, tuple))
        before = "[" + line + step
        for item in value:
            out.append(before)
            _write(item, out, line + step, step)
            before = "," + line + step
        out.append(line + "]")
