"""publish: index.json as the store is now, and when it is written."""

from __future__ import annotations

from casstore.cli.options import OF_A_CHANGE, TEXT, Args, Command, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.cli.app import App

HELP = Command(
    name="publish",
    arguments="",
    summary="Write index.json for other OCI tools, and set when it is written",
    options=(
        Option(
            "mode",
            "'always':    every change keeps index.json up to date (as in a new store)\n"
            "'on-demand': only this command writes it",
            kind=TEXT,
            choices=("always", "on-demand"),
        ),
    ),
    most=0,
    exits=((0, "index.json is as the store is"), *OF_A_CHANGE),
    description="""\
Each change writes index.json anew, which takes as long as copying it: at 100000 images as long as
all else that rmi does. In a store that publishes on demand a change takes as long as in a small
one. The price: the first change after this command withdraws index.json, and until the command is
run again other tools find no image in the store; and if casstore.db is lost, fsck --rebuild knows
only what was published last (it is kept as index.json.last). So publish, or copy casstore.db, as
often as you would make a backup.""",
)


def run(args: Args, app: App) -> int:
    """Publish; silent when it worked."""
    mode = args.text("mode")
    app.store.publish(on_demand=None if mode is None else mode == "on-demand")
    return 0
