"""sbom: the SBOM of an image, as it was written."""

from __future__ import annotations

from casstore.cli.options import OF_A_LOOK, TEXT, Args, Command, Option
from casstore.files.namedfile import read_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.cli.app import App

PREDICATE, STATEMENT = "json", "statement"

HELP = Command(
    name="sbom",
    arguments="IMAGE",
    summary="Print the SBOM of an image",
    options=(
        Option(
            "digest",
            "The SBOM with this digest, where there are several",
            kind=TEXT,
            value="digest",
        ),
        Option(
            "format",
            "'json':       Print the SBOM itself (default)\n"
            "'statement':  Print the in-toto statement that it is in",
            kind=TEXT,
            choices=(PREDICATE, STATEMENT),
            default=PREDICATE,
        ),
        Option(
            "key",
            "Print only what this public key has signed",
            kind=TEXT,
            value="file",
            completes="file",
        ),
        Option(
            "platform",
            "The image of this platform in an index (default: the\n"
            "only one that is there, else this machine's)",
            kind=TEXT,
            value="os/arch[/variant]",
        ),
        Option(
            "type",
            "'spdx', 'cyclonedx', or the predicate type of any attestation",
            kind=TEXT,
            value="type",
        ),
    ),
    least=1,
    most=1,
    exits=(
        (0, "the SBOM is printed"),
        (1, "no such image, no SBOM, or several"),
        *OF_A_LOOK,
    ),
    description="""\
The SBOM is printed as it was written, byte for byte. It comes from the attestations that BuildKit
puts into an image's index, from artifacts that refer to the image (OCI 1.1, oras), or from
cosign's tags sha256-<hex>.att and sha256-<hex>.sbom; nothing is fetched. pull --referrers brings
what refers to an image in a registry, pull --all-platforms what BuildKit attached.

An SBOM in an in-toto statement counts only if the statement's subject is a manifest of the image.
Without --key nobody has verified who wrote it. inspect --attestations lists all that is there.""",
    completes="image",
)


def run(args: Args, app: App) -> int:
    """Print it."""
    key = args.text("key")
    found = app.store.sbom(
        args.positional[0],
        platform=args.text("platform"),
        type=args.text("type") or "",
        digest=args.text("digest") or "",
        key=None if key is None else read_file(key, "key"),
    )
    whole = args.text("format") == STATEMENT
    data = found.statement if whole else found.predicate_bytes
    out = app.output()
    out.write(data)
    if not data.endswith(b"\n"):
        out.write(b"\n")
    return 0
