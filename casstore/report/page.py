"""The report's page: one file with style, script and data in it, and a policy that allows no more.

What comes from images (names, labels, leases) is data, never markup: it stands in a JSON block in
which `<`, `>` and `&` are written as escapes, so that no text can end the block or begin a
comment, and the script puts it on the page as text only. The Content-Security-Policy allows this
one style and this one script by their digests, and nothing from anywhere else (CSP level 3).
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import shlex
from typing import TYPE_CHECKING, Any

from casstore.errors import StorageError, quote
from casstore.files import durable
from casstore.files.output import replace_output
from casstore.results.space import MAX_LABEL, MAX_LABELS

if TYPE_CHECKING:
    from casstore.results.space import Inventory, InventoryImage

SCRIPTS = ("data.js", "treemap.js", "tables.js", "main.js")

_SECOND = 1_000_000_000
_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def write_page(out: str, inventory: Inventory) -> None:
    """Write the page to the file `out`, whole or not at all, and durably.

    Raises:
        StorageError: it cannot be written; a file that was there is as it was.
    """
    page = page_of(inventory).encode()
    target = os.path.abspath(out)
    try:
        if os.path.exists(target) and not os.path.isfile(target):
            with open(target, "wb") as device:  # /dev/stdout, a fifo: nothing to rename over
                device.write(page)
            return
        with replace_output(target) as new:
            new.file.write(page)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise durable.storage_error(error, f"cannot write {quote(out)}") from None


def page_of(inventory: Inventory) -> str:
    """The whole page."""
    style, script = _part("style.css"), "".join(_part(name) for name in SCRIPTS)
    policy = "; ".join(
        (
            "default-src 'none'",
            f"style-src '{_digest(style)}'",
            f"script-src '{_digest(script)}'",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    parts = {
        "@POLICY@": html.escape(policy, quote=False),
        "@TITLE@": html.escape(
            f"{_shown(os.path.basename(inventory.store))}: where the space goes"
        ),
        "@STYLE@": style,
        "@SCRIPT@": script,
        "@DATA@": json_block(_data(inventory)),
    }
    pieces = _part("page.html").split("@")  # a part is put in once, whatever it holds itself
    return "".join(
        piece if place % 2 == 0 else parts[f"@{piece}@"] for place, piece in enumerate(pieces)
    )


def json_block(value: Any) -> str:
    """JSON that can stand in a script element, whatever texts are in it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True).translate(_ESCAPES)


def for_shell(path: str) -> str:
    """A path as a word for a shell, whatever is in it; one line that can be shown.

    What cannot be shown, and bytes that are no UTF-8, stand in `$'…'`, which bash, zsh, ksh and
    POSIX 2024 know.
    """
    if path.isprintable():
        return shlex.quote(path)
    word = "".join(
        "\\" + c if c in "\\'"
        else c if c.isprintable()
        else "".join(f"\\{byte:03o}" for byte in os.fsencode(c))
        for c in path
    )  # fmt: skip
    return f"$'{word}'"


def _shown(path: str) -> str:
    """A path as text: bytes that are no UTF-8 become U+FFFD."""
    return os.fsencode(path).decode("utf-8", "replace")


def _data(inventory: Inventory) -> dict[str, Any]:
    usage = inventory.usage
    return {
        "store": _shown(inventory.store),
        "command": f"casstore --store {for_shell(os.path.abspath(inventory.store))} rmi -f",
        "taken": inventory.taken // _SECOND,
        "dangling": usage.dangling,
        "totals": {
            "stored": usage.stored,
            "files": usage.file_bytes,
            "reclaimable": usage.reclaimable,
            "left": usage.orphan_bytes + usage.ingest_bytes,
        },
        "blobs": [
            [blob.digest.short, blob.size, blob.file_bytes, int(blob.kind == "layer")]
            for blob in inventory.blobs
        ],
        "images": [_image(image) for image in inventory.images],
    }


def _image(image: InventoryImage) -> dict[str, Any]:
    return {
        "id": image.id.hex,
        "names": [name.familiar for name in image.names],
        "created": None if image.created is None else image.created // _SECOND,
        "used": None if image.used is None else image.used // _SECOND,
        "size": image.size,
        "frees": image.frees,
        "refusal": image.refusal,
        "leases": list(image.leases),
        "pinned": image.pinned,
        "base": image.base,
        "labels": [[_cut(name), _cut(value)] for name, value in image.labels[:MAX_LABELS]],
        "blobs": list(image.blobs),
        "layers": None if image.layers is None else [list(layer) for layer in image.layers],
    }


def _cut(text: str) -> str:
    return text if len(text) <= MAX_LABEL else text[: MAX_LABEL - 1] + "…"


def _part(name: str) -> str:
    path = os.path.join(os.path.dirname(__file__), name)
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError as error:
        raise StorageError(f"a part of the report is missing: {quote(path)}") from error


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
