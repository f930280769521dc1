"""verify: whether images are signed by a key, and what the signatures say."""

from __future__ import annotations

from casstore.cli.keyinput import ANNOTATIONS, annotations_of, required
from casstore.cli.options import OF_A_LOOK, TEXT, Args, Command, Option
from casstore.errors import CasstoreError
from casstore.files.namedfile import read_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.cli.app import App

HELP = Command(
    name="verify",
    arguments="IMAGE [IMAGE...]",
    summary="Verify the signatures of one or more images",
    options=(
        ANNOTATIONS._replace(help="The signature must say this: KEY=VALUE"),
        Option(
            "identity",
            "The name that the signature must be for\n(default: IMAGE's own repository)",
            kind=TEXT,
            value="reference",
        ),
        Option("key", "The public key", kind=TEXT, value="file", completes="file"),
    ),
    least=1,
    exits=(
        (0, "each image has a good signature"),
        (1, "one has not, or is not there; the others were verified"),
        *OF_A_LOOK,
    ),
    description="""\
A signature is good when the key made it, it is of this manifest, its identity is the repository of
the image (and its tag, where it names one), and it says what --annotations ask for. Prints the
payloads of all good signatures as one line of JSON for each image, as cosign does. Otherwise it
says of each signature what is wrong with it.

Transparency logs and certificates (Rekor, Fulcio) are not looked at; nothing is fetched.""",
    completes="image",
)


def run(args: Args, app: App) -> int:
    """Verify each; one that fails does not stop the others."""
    key = read_file(required(args, "key"), "key")
    status = 0
    for image in args.positional:
        try:
            verified = app.store.verify(
                image, key, annotations=annotations_of(args), identity=args.text("identity")
            )
        except CasstoreError as error:
            if error.exit_code != 1:
                raise
            app.error(str(error))
            status = 1
            continue
        app.out("[" + ",".join(payload.decode() for payload in verified.payloads) + "]")
    return status
