"""pin: protect images from gc and from every removal that is not forced."""

from __future__ import annotations

from casstore.cli.options import OF_A_CHANGE, Args, Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.cli.app import App

HELP = Command(
    name="pin",
    arguments="IMAGE [IMAGE...]",
    summary="Protect images from gc and from every removal that is not forced",
    least=1,
    exits=(
        (0, "all of them are pinned"),
        (1, "one of them is not there; nothing is changed"),
        *OF_A_CHANGE,
    ),
    description="""\
A pinned image goes neither with gc nor with prune nor along with its last child; rmi needs -f, and
its last name stays without it. The pin is part of index.json, so it survives a rebuild.""",
    completes="image",
)


def run(args: Args, app: App) -> int:
    """Pin; silent when it worked."""
    app.store.pin(*args.positional)
    return 0
