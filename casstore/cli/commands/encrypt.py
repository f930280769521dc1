"""encrypt: give an image a form whose layers only some can read."""

from __future__ import annotations

from casstore.cli.keyinput import all_required
from casstore.cli.options import LIST, OF_A_CHANGE, Args, Command, Option
from casstore.files.namedfile import read_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.cli.app import App

HELP = Command(
    name="encrypt",
    arguments="IMAGE NEWNAME",
    summary="Encrypt the layers of an image, under a new name",
    options=(
        Option(
            "layer",
            "Encrypt this layer, from 0, or from -1 for the top;\n"
            "may be repeated (default: all layers)",
            kind=LIST,
            value="number",
        ),
        Option(
            "recipient",
            "Who can decrypt it: jwe:FILE, a public key (RSA or EC), or\n"
            "pkcs7:FILE, a certificate (RSA); may be repeated",
            kind=LIST,
            value="scheme:file",
        ),
    ),
    least=2,
    most=2,
    exits=(
        (0, "NEWNAME is the encrypted form"),
        (1, "no such image, or a key that cannot be used; nothing is changed"),
        *OF_A_CHANGE,
    ),
    description="""\
Encrypts layers as ocicrypt does, so that skopeo, podman, buildah and containerd decrypt them:
AES-256 in counter mode with HMAC-SHA256, the key of each layer wrapped for every recipient. The
config is not encrypted: both forms are one image, with one ID, and share what is not encrypted.

IMAGE keeps its name; remove it where only the encrypted form is to stay.""",
    completes="image",
)


def run(args: Args, app: App) -> int:
    """Encrypt, and print the digest of the new manifest."""
    image, name = args.positional
    recipients = []
    for text in all_required(args, "recipient"):
        scheme, colon, path = text.partition(":")
        if not colon or scheme not in ("jwe", "pkcs7") or not path:
            raise args.wrong("recipient", "jwe:FILE or pkcs7:FILE is needed")
        recipients.append((scheme, read_file(path, "recipient")))
    app.out(app.store.encrypt(image, name, recipients, layers=_layers(args)))
    return 0


def _layers(args: Args) -> list[int] | None:
    numbers = []
    for text in args.texts("layer"):
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) < 5):
            raise args.wrong("layer", "a number is needed")
        numbers.append(int(text))
    return numbers or None
