"""decrypt: give an encrypted image a form in the clear."""

from __future__ import annotations

from casstore.cli.keyinput import PASSWORD_FILE, key_with_password
from casstore.cli.options import (
    DAMAGED,
    LIST,
    LOCKED,
    NO_STORE,
    WRONG_USAGE,
    Args,
    Command,
    Option,
    WrongUsage,
)

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
    ),
    least=2,
    most=2,
    exits=(
        (0, "NEWNAME is the form in the clear"),
        (1, "no key fits, or a layer is not what was encrypted; nothing is changed"),
        WRONG_USAGE,
        NO_STORE,
        LOCKED,
        DAMAGED,
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
    texts = args.texts("key")
    if not texts:
        raise WrongUsage(f"'{HELP.called}' needs --key", HELP)
    keys = [key_with_password(text, args.text("password-file")) for text in texts]
    app.out(app.store.decrypt(image, name, keys))
    return 0
