"""key: make key pairs for signing, and get the public half of a private key."""

from __future__ import annotations

import os

from casstore.cli.keyinput import PASSWORD_FILE, new_password, password_for
from casstore.cli.options import TEXT, WRONG_USAGE, Args, Command, Option
from casstore.errors import CasstoreError, quote
from casstore.files.namedfile import read_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from casstore.cli.app import App

HELP = Command(
    name="key",
    arguments="COMMAND",
    summary="Manage keys for signing",
    least=1,
    in_order=True,
    description="""\
The files are those of cosign: a private key under a password (PREFIX.key), and its public key
(PREFIX.pub). sign and verify read plain PEM and DER keys as well.""",
)

GENERATE = Command(
    name="key generate",
    arguments="",
    summary="Make a key pair as cosign does: ECDSA P-256, the private key under a password",
    options=(
        Option(
            "output-key-prefix",
            "Name of the files, without .key and .pub (default cosign)",
            short="o",
            kind=TEXT,
            value="prefix",
            default="cosign",
            completes="file",
        ),
        PASSWORD_FILE,
    ),
    most=0,
    exits=(
        (0, "both files are there"),
        (1, "no password, or one of the files is there already; nothing is made"),
        WRONG_USAGE,
    ),
    description="""\
The private key can be read by its owner alone. A file that is there is never overwritten. An empty
password is allowed: then whoever has the file can sign.""",
)

PUBLIC = Command(
    name="key public",
    arguments="KEY",
    summary="Print the public key of a private key, as PEM",
    options=(PASSWORD_FILE,),
    least=1,
    most=1,
    exits=((0, "it was printed"), (1, "no private key, or the wrong password"), WRONG_USAGE),
    completes="file",
)


def generate(args: Args, app: App) -> int:
    """Make a pair of files, or neither."""
    from casstore.files.newfile import create_file
    from casstore.trust.keys import generate_pair

    prefix = args.text("output-key-prefix") or ""
    private_path, public_path = f"{prefix}.key", f"{prefix}.pub"
    for path in (private_path, public_path):
        if os.path.lexists(path):
            raise CasstoreError(f"{quote(path)} is there already; no key was made")
    private, public = generate_pair(new_password(args.text("password-file")))
    _create(create_file, private_path, private, 0o600)
    try:
        _create(create_file, public_path, public, 0o644)
    except CasstoreError:
        os.unlink(private_path)
        raise
    app.out(f"Private key written to {private_path}")
    app.out(f"Public key written to {public_path}")
    return 0


def public(args: Args, app: App) -> int:
    """Print a public key."""
    from casstore.trust.keys import public_pem, read_private_key

    (path,) = args.positional
    password = password_for(path, args.text("password-file"))
    key = read_private_key(read_file(path, "key"), quote(path), password)
    app.write(public_pem(key.public_key()).decode("ascii"))
    return 0


def _create(
    create_file: Callable[[str, bytes, int], None], path: str, data: bytes, mode: int
) -> None:
    try:
        create_file(path, data, mode)
    except FileExistsError:
        raise CasstoreError(f"{quote(path)} is there already; no key was made") from None
    except OSError as error:
        reason = (error.strerror or "failed").lower()
        raise CasstoreError(f"cannot write {quote(path)}: {reason}") from None


SUBCOMMANDS: dict[str, tuple[Command, Callable[[Args, App], int]]] = {
    "generate": (GENERATE, generate),
    "public": (PUBLIC, public),
}
