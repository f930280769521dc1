"""Options of the commands that take layers in: how large one may be, and what is verified of it."""

from __future__ import annotations

import os

from casstore.cli.options import TEXT, Option, WrongUsage, invalid_value
from casstore.errors import quote
from casstore.model.keys import ALL, DIGEST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.cli.options import Args
    from casstore.store import Store

VARIABLE = "CASSTORE_MAX_LAYER_SIZE"
MAX_LAYER_SIZE = Option(
    "max-layer-size",
    "Refuse a layer of more bytes, uncompressed (default:\n"
    f"${VARIABLE}, else 4GiB, or 100 times its\ncompressed size, up to 64GiB)",
    kind=TEXT,
    value="size",
    own=True,
)
VERIFY = Option(
    "verify",
    "What to verify of compressed layers before they are\n"
    "stored: 'all', or 'digest': the rest when they are\n"
    "first read (default: the setting verify, else all)",
    kind=TEXT,
    value="what",
    choices=(ALL, DIGEST),
    own=True,
)
_NEEDED = "expected a size such as 8GiB or 300GB"


def limit_layers(args: Args, store: Store) -> None:
    """Tell the store what the option says, or else the environment."""
    size = layer_limit_given(args)
    if size is not None:
        store.max_layer_size = size


def layer_limit_given(args: Args) -> int | None:
    """What the option says, or else the environment; None where neither does."""
    given = args.text(MAX_LAYER_SIZE.name)
    text = given if given is not None else os.environ.get(VARIABLE)
    if not text and given is None:
        return None
    from casstore.model.amount import parse_size

    size = parse_size(text or "")
    if size is not None:
        return size
    if given is not None:
        raise invalid_value(args.command, MAX_LAYER_SIZE, given, _NEEDED)
    raise WrongUsage(f"invalid value {quote(text or '')} of ${VARIABLE}: {_NEEDED}", args.command)
