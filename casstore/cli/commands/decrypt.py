"""decrypt: give an encrypted image a form in the clear."""

from __future__ import annotations

from casstore.cli.incominglayers import MAX_LAYER_SIZE, limit_layers
from casstore.cli.keyinput import PASSWORD_FILE, all_required, key_with_password
from casstore.cli.options import LIST, OF_A_CHANGE, Args, Command, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.cli.app import App

HELP = Command(
    name="decrypt",
    arguments="IMAGE NEWNAME",
    summary="Decrypt the layers of an image, under a new name",
    options=(
        Option(
            "key",
            "A private key, FILE[:file=PASSWORDFILE] or\nFILE[:pass=PASSWORD]; may be repeated",
            kind=LIST,
            value="file",
            completes="file",
        ),
        PASSWORD_FILE,
        MAX_LAYER_SIZE,
    ),
    least=2,
    most=2,
    exits=(
        (0, "NEWNAME is the form in the clear"),
        (1, "no key fits, or a layer is not what was encrypted; nothing is changed"),
        *OF_A_CHANGE,
    ),
    description="""\
Decrypts what casstore, skopeo, podman, buildah or containerd have encrypted (ocicrypt: JWE and
PKCS#7; for PKCS#7 the private key is enough). All layers are decrypted, or none: the HMAC of each,
its digest and its diff ID must be right.

Keys are PEM or DER. A password on the command line (pass=) is seen by everyone on the machine.""",
    completes="image",
)


def run(args: Args, app: App) -> int:
    """Decrypt, and print the digest of the manifest in the clear."""
    image, name = args.positional
    file = args.text("password-file")
    keys = [key_with_password(text, file) for text in all_required(args, "key")]
    limit_layers(args, app.store)
    app.out(app.store.decrypt(image, name, keys))
    return 0
