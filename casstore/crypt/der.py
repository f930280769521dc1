"""DER, as much as a PKCS#7 envelope needs: nested values, each a tag, a length, a content.

Source: ITU-T X.690.
"""

from __future__ import annotations

from collections.abc import Iterator

from casstore.errors import Refused
from casstore.startup.value import Value

INTEGER, OCTETS, OID, SEQUENCE, SET = 0x02, 0x04, 0x06, 0x30, 0x31
NULL = b"\x05\x00"


class Element(Value):
    """One value."""

    tag: int
    content: bytes
    whole: bytes  # with tag and length

    def expect(self, tag: int) -> Element:
        """This value, which must be of a type."""
        if self.tag != tag:
            raise Refused(f"the PKCS#7 envelope has type {self.tag:#x} where {tag:#x} belongs")
        return self


def encode(tag: int, *parts: bytes) -> bytes:
    """A value of these parts."""
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def integer(value: int) -> bytes:
    """A non-negative integer."""
    return encode(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def elements(data: bytes) -> Iterator[Element]:
    """The values in `data`, one after the other.

    Raises:
        Refused: it is not DER to its end.
    """
    at = 0
    while at < len(data):
        tag, size, start = data[at], 0x80, at + 2
        if start <= len(data):
            size = data[at + 1]
        if size > 0x80:
            start += size - 0x80
            size = int.from_bytes(data[at + 2 : start], "big") if size <= 0x84 else len(data) + 1
        elif size == 0x80:  # an indefinite length is BER
            size = len(data) + 1
        end = start + size
        if end > len(data) or tag & 0x1F == 0x1F:
            raise Refused("the PKCS#7 envelope is not whole")
        yield Element(tag, data[start:end], data[at:end])
        at = end


def only(data: bytes, *tags: int) -> list[Element]:
    """Exactly as many values as there are tags, of these types."""
    found = list(elements(data))
    if len(found) != len(tags):
        raise Refused("the PKCS#7 envelope has not the parts that it should have")
    return [element.expect(tag) for element, tag in zip(found, tags, strict=True)]
