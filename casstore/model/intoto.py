"""in-toto Statements: what somebody says about artifacts, which are named by their digests.

    {"_type": "https://in-toto.io/Statement/v1",
     "subject": [{"name": "...", "digest": {"sha256": "<hex>"}}],
     "predicateType": "https://spdx.dev/Document",
     "predicate": {...}}

A predicate is handed on as the bytes that it is written in, so that no number or spelling changes.

Source: in-toto's attestation framework, spec/v0.1.0 and spec/v1.
"""

from __future__ import annotations

from casstore.errors import Refused
from casstore.model import document
from casstore.model.digest import Digest, is_hex64
from casstore.model.document import Fields
from casstore.startup.value import Value

TYPES = ("https://in-toto.io/Statement/v0.1", "https://in-toto.io/Statement/v1")
# SBOMs of large images have tens of megabytes; cosign reads no more than 128 MiB.
MAX_STATEMENT = 32 << 20
MAX_SUBJECTS = 10_000
_BLANKS = " \t\n\r"


class Statement(Value):
    """What a statement says."""

    predicate_type: str
    subjects: tuple[Digest, ...]  # those that are named by sha256


def parse_statement(data: bytes, name: str) -> Statement:
    """Parse a statement.

    Args:
        data: the bytes of the statement.
        name: what messages call it.

    Raises:
        Refused: it is not a statement, or it exceeds a limit.
    """
    fields = Fields(document.parse(data, name, limit=MAX_STATEMENT), name)
    if fields.text("_type") not in TYPES:
        raise fields.wrong("_type", "is not that of an in-toto Statement v0.1 or v1")
    kind = fields.text("predicateType")
    if not kind:
        raise Refused(f"{name} has no predicateType")
    items = fields.items("subject")
    if len(items) > MAX_SUBJECTS:
        raise Refused(f"{name} exceeds the limit of {MAX_SUBJECTS} subjects")
    subjects = []
    for number, item in enumerate(items, 1):
        digests = Fields(item, f"subject {number} of {name}").text_mapping("digest")
        digits = digests.get("sha256", "").lower()
        if is_hex64(digits):
            subjects.append(Digest.of_hex(digits))
    return Statement(kind, tuple(subjects))


def predicate_of(data: bytes) -> bytes:
    """The predicate of a statement, as it is written there; `null` where there is none."""
    import json

    text = data.decode("utf-8")
    decoder = json.JSONDecoder()
    at = _past_blanks(text, 0) + 1  # past the brace
    while text[at := _past_blanks(text, at)] != "}":
        key, at = decoder.raw_decode(text, at)
        at = _past_blanks(text, _past_blanks(text, at) + 1)  # past the colon
        _, end = decoder.raw_decode(text, at)
        if key == "predicate":
            return text[at:end].encode("utf-8")
        at = _past_blanks(text, end)
        if text[at] == ",":
            at += 1
    return b"null"


def _past_blanks(text: str, at: int) -> int:
    while text[at] in _BLANKS:
        at += 1
    return at
