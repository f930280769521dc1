"""__complete: what completions/ ask for at every press of the key. Not for people."""

from __future__ import annotations

from casstore.cli.options import Args, Command
from casstore.errors import CasstoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.cli.app import App

HELP = Command(
    name="__complete",
    arguments="images [PREFIX]",
    summary="Print names for a shell's completion",
    least=1,
    most=2,
    exits=((0, "always"),),
)


def run(args: Args, app: App) -> int:
    """Names in the store that start with PREFIX, a line each; nothing where there is no store."""
    kind, *prefix = args.positional
    if kind == "images":
        try:
            for name in app.store.names(prefix[0] if prefix else ""):
                app.out(name)
        except CasstoreError:
            pass  # at a prompt an error is of no use to anybody
    return 0
