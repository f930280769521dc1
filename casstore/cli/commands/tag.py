"""tag: one more name for an image."""

from __future__ import annotations

from casstore.cli.options import OF_A_CHANGE, Args, Command
from casstore.errors import InvalidReference, quote
from casstore.model.reference import parse_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.cli.app import App

HELP = Command(
    name="tag",
    arguments="SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
    summary="Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
    least=2,
    most=2,
    exits=(
        (0, "TARGET_IMAGE refers to the image"),
        (1, "no such image, or a name that cannot be one"),
        *OF_A_CHANGE,
    ),
    description="""\
A name that was another image's moves; that image stays, and may be left without a name.
SOURCE_IMAGE may be an image ID, too.""",
    completes="image",
)


def run(args: Args, app: App) -> int:
    """Tag; silent when it worked."""
    source, target = args.positional
    try:
        parse_name(target)
    except InvalidReference as error:
        # Docker's client looks at the grammar before it asks, and words it in its own way.
        reason = str(error) if target.strip() else "invalid reference format"
        app.note(
            f"Error parsing reference: {quote(target)} is not a valid repository/tag: {reason}"
        )
        return error.exit_code
    app.store.tag(source, target)
    return 0
