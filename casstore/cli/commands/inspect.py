"""inspect: everything about an image, in Docker's shape."""

from __future__ import annotations

from casstore.cli.options import OF_A_LOOK, TEXT, Args, Command, Option
from casstore.errors import CasstoreError, Locked, NotAStore, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.cli.app import App

HELP = Command(
    name="inspect",
    arguments="IMAGE [IMAGE...]",
    summary="Display detailed information on one or more images",
    options=(
        Option(
            "format",
            "Format output using a custom template:\n"
            "'json':             Print in JSON format\n"
            "'TEMPLATE':         Print output using the given Go template",
            short="f",
            kind=TEXT,
        ),
        Option(
            "platform",
            "Inspect the image of this platform in an index",
            kind=TEXT,
            value="os/arch[/variant]",
        ),
        Option("size", "Accepted; sizes are always shown", short="s"),
        Option("type", "Only 'image' is known", kind=TEXT, value="type", choices=("image",)),
    ),
    least=1,
    exits=(
        (0, "every IMAGE was found"),
        (1, "an IMAGE was not found; the others are printed"),
        *OF_A_LOOK,
    ),
    completes="image",
)


def run(args: Args, app: App) -> int:
    """Print those that are there, then an error for each that is not."""
    found: list[dict[str, object]] = []
    errors: list[tuple[str, int]] = []
    for image in args.positional:
        try:
            found.append(app.looking.inspect(image, platform=args.text("platform")))
        except (NotAStore, Locked):
            raise
        except NotFound as error:
            told = str(error)
            missing = told.startswith("No such image")
            errors.append((f"No such image: {image}" if missing else told, error.exit_code))
        except CasstoreError as error:
            errors.append((str(error), error.exit_code))
    form = args.text("format")
    if form in (None, ""):
        _write_list(found, app)
    else:
        _write_formatted(found, form or "", app)
    for text, _ in errors:
        app.error(text)
    return max((status for _, status in errors), default=0)


def _write_list(found: list[dict[str, object]], app: App) -> None:
    from casstore.cli.jsontext import json_text

    app.write(json_text([as_document(image) for image in found], indent=4) + "\n")


def _write_formatted(found: list[dict[str, object]], form: str, app: App) -> None:
    from casstore.cli.gotemplate import Template
    from casstore.cli.jsontext import json_text

    if form == "json":
        app.write(json_text([as_document(image) for image in found]) + "\n")
        return
    template = Template(form.replace("\\t", "\t").replace("\\n", "\n"))
    for image in found:
        app.write(template.render(as_document(image)) + "\n")


# Which keys of the document are maps and lists in Docker's types; the other objects are structs.
_MAPS = frozenset(("Annotations", "Data", "ExposedPorts", "Labels", "Volumes"))
_LISTS = frozenset(
    ("Cmd", "Entrypoint", "Env", "Layers", "OnBuild", "RepoDigests", "RepoTags", "Shell", "Test")
)


def as_document(value: object, key: str = "") -> object:
    """The document with Docker's types given back: see casstore.cli.govalues."""
    from casstore.cli.jsontext import NilMap, NilSlice, Struct

    if value is None:
        return NilMap() if key in _MAPS else NilSlice() if key in _LISTS else None
    if isinstance(value, dict):
        if key in _MAPS:
            return {str(k): as_document(v) for k, v in value.items()}
        return Struct((str(k), as_document(v, str(k))) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return [as_document(v) for v in value]
    return value
