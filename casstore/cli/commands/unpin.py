"""unpin: unpin images, so that they can be removed again."""

from __future__ import annotations

from casstore.cli.options import OF_A_CHANGE, Args, Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.cli.app import App

HELP = Command(
    name="unpin",
    arguments="IMAGE [IMAGE...]",
    summary="Unpin images, so that they can be removed again",
    least=1,
    exits=(
        (0, "all of them are free to go"),
        (1, "one of them is not there; nothing is changed"),
        *OF_A_CHANGE,
    ),
    description="""\
Harmless for an image that is not pinned.""",
    completes="image",
)


def run(args: Args, app: App) -> int:
    """Unpin; silent when it worked."""
    app.store.pin(*args.positional, pinned=False)
    return 0
