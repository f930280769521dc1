"""inspect: everything about an image, in Docker's shape."""

from __future__ import annotations

from casstore.cli.options import OF_A_LOOK, TEXT, Args, Command, Option, WrongUsage
from casstore.errors import CasstoreError, Locked, NotAStore, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.cli.app import App
    from casstore.results.trust import Attestation

HELP = Command(
    name="inspect",
    arguments="IMAGE [IMAGE...]",
    summary="Display detailed information on one or more images",
    options=(
        Option("attestations", "List the attestations and SBOMs of the images instead", own=True),
        Option(
            "format",
            "Format output using a custom template:\n"
            "'json':             Print in JSON format\n"
            "'TEMPLATE':         Print output using the given Go template",
            short="f",
            kind=TEXT,
        ),
        Option(
            "key",
            "With --attestations: verify signatures with this public key",
            kind=TEXT,
            value="file",
            own=True,
            completes="file",
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
    description="""\
--attestations lists what is in the store about the images: what BuildKit puts into an index,
artifacts that refer to an image (OCI 1.1), and cosign's tags. OfImage says whether an attestation's
subject is a manifest of the image, Verified (with --key) whether besides the key has signed it;
without --key it is null. A document that cannot be read is listed with its Problem. sbom prints an
SBOM, and with --type any other attestation.

Fields of a template with --attestations: .Attached .Digest .Found .Image .Manifest .MediaType .Name
.OfImage .PredicateType .Problem .Signed .Size .Subjects .Verified""",
    completes="image",
)


def run(args: Args, app: App) -> int:
    """Print those that are there, then an error for each that is not."""
    key = args.text("key")
    attestations = args.flag("attestations")
    if key is not None and not attestations:
        raise WrongUsage("--key is for --attestations; verify looks at signatures", HELP)
    public = None
    if key is not None:
        from casstore.files.namedfile import read_file  # few ask for it

        public = read_file(key, "key")
    found: list[dict[str, object]] = []
    errors: list[tuple[str, int]] = []
    for image in args.positional:
        try:
            if attestations:
                platform = args.text("platform")
                there = app.store.attestations(image, platform=platform, key=public)
                found += [_attestation(image, one) for one in there]
                continue
            found.append(app.store.inspect(image, platform=args.text("platform")))
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
        _write_formatted(found, form or "", app, typed=not attestations)
    for text, _ in errors:
        app.error(text)
    return max((status for _, status in errors), default=0)


def _attestation(image: str, one: Attestation) -> dict[str, object]:
    return {
        "Image": image,
        "Found": one.found,
        "Name": one.name.familiar if one.name is not None else "",
        "Attached": one.attached,
        "Manifest": one.manifest,
        "Digest": one.digest,
        "Size": one.size,
        "MediaType": one.media_type,
        "PredicateType": one.predicate_type,
        "Subjects": list(one.subjects),
        "OfImage": one.of_image,
        "Signed": one.signed,
        "Verified": one.verified,
        "Problem": one.problem,
    }


def _write_list(found: list[dict[str, object]], app: App) -> None:
    from casstore.cli.jsonencoder import document_text

    app.write(document_text(found, indent=4) + "\n")


def _write_formatted(found: list[dict[str, object]], form: str, app: App, *, typed: bool) -> None:
    if form == "json":
        from casstore.cli.jsonencoder import document_text

        app.write(document_text(found) + "\n")
        return
    from casstore.cli.gotemplate import Template
    from casstore.cli.gotokens import TemplateError
    from casstore.cli.typed import record, untyped
    from casstore.model.dockertypes import IMAGE

    template = Template(form)  # as it is: unlike images, docker's inspect makes no \n of its `\\n`
    for image in found:
        # As Docker: first on the typed record, then, for what that does not know, on the JSON.
        try:
            text = template.render(record(IMAGE, image) if typed else untyped(image))
        except TemplateError:
            text = template.render(untyped(image))
        app.write(text + "\n")
