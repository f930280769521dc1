"""sign: sign images as cosign does."""

from __future__ import annotations

from casstore.cli.keyinput import (
    ANNOTATIONS,
    PASSWORD_FILE,
    annotations_of,
    password_for,
    required,
)
from casstore.cli.options import OF_A_CHANGE, TEXT, Args, Command, Option
from casstore.files.namedfile import read_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.cli.app import App

HELP = Command(
    name="sign",
    arguments="IMAGE [IMAGE...]",
    summary="Sign one or more images",
    options=(
        ANNOTATIONS._replace(help="Say this in the signature too: KEY=VALUE"),
        Option("key", "The private key", kind=TEXT, value="file", completes="file"),
        PASSWORD_FILE,
        Option(
            "type",
            "Where the signature goes: 'tag', the artifact\n"
            "REPOSITORY:sha256-HEX.sig, or 'referrer', an OCI 1.1\n"
            "artifact of its own (default tag)",
            kind=TEXT,
            choices=("tag", "referrer"),
            default="tag",
        ),
    ),
    least=1,
    exits=(
        (0, "all are signed"),
        (1, "no such image, or the key cannot be used; nothing is signed"),
        *OF_A_CHANGE,
    ),
    description="""\
Signs the manifest that IMAGE names, in the formats of cosign: what casstore signs, cosign verifies,
and podman and skopeo accept. Signing again adds a signature. An image given by its ID must be in
one repository. All images are one change.

The key is a cosign key file, or PKCS#8, PEM or DER: ECDSA P-256, P-384, P-521, Ed25519, RSA.""",
    completes="image",
)


def run(args: Args, app: App) -> int:
    """Sign; a line for each image."""
    path = required(args, "key")
    signed = app.store.sign(
        args.positional,
        read_file(path, "key"),
        password=password_for(path, args.text("password-file")),
        annotations=annotations_of(args),
        kind=args.text("type") or "tag",
    )
    for one in signed:
        app.out(f"Signed: {one.name.familiar.partition('@')[0]}@{one.digest}")
    return 0
