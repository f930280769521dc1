"""Keys: what a store does with them: sign and verify, encrypt and decrypt."""

from __future__ import annotations

from casstore.errors import UsageError, quote
from casstore.model.keys import DECRYPT, ENCRYPT
from casstore.store.intake import take_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from casstore.model.digest import Digest
    from casstore.model.parameters import Key, Several
    from casstore.model.record import Arrival
    from casstore.ports.ingest import Ingest
    from casstore.progress import Progress
    from casstore.results.trust import Signed, Verified
    from casstore.store.session import Session


class Keys:
    """Signatures and encrypted layers."""

    def __init__(self, session: Session) -> None:
        self._session: Session = session

    def sign(
        self,
        images: Several[str],
        key: Key,
        *,
        password: Callable[[], bytes] | None = None,
        annotations: Mapping[str, str] | None = None,
        kind: str = "tag",
    ) -> list[Signed]:
        """Sign images as cosign does; all are one change.

        Args:
            images: names, or IDs of images that are in one repository.
            key: the private key's file, as a `pathlib.Path`, or what it holds: a cosign key file,
                PKCS#8 (PEM or DER).
            password: asked for the key's password, if it has one.
            annotations: what the signature shall say besides.
            kind: `tag`: a signature more in the artifact `REPOSITORY:sha256-<hex>.sig`;
                `referrer`: an artifact of its own whose subject is the image (OCI 1.1).

        Raises:
            Refused: the key is none or its password another; an image has no repository.
        """
        from casstore.files.namedfile import content_of
        from casstore.flows.sign import KINDS, sign_images
        from casstore.model.arguments import several
        from casstore.trust.keys import read_private_key

        images = several(images, "images")
        if kind not in KINDS:
            raise UsageError(f"unknown type {quote(kind)}: use one of {', '.join(KINDS)}")
        private = read_private_key(content_of(key, "key"), "the key", password or (lambda: b""))
        with self._session.change() as change:
            ingest = self._session.backend.begin_ingest(lambda: change.index)
            try:
                signed = sign_images(
                    change, ingest, images, private, annotations=annotations or {}, kind=kind
                )
                ingest.flush()
                change.publish_blobs(ingest)
                change.commit()
            finally:
                ingest.close()
            return signed

    def verify(
        self,
        image: str,
        key: Key,
        *,
        annotations: Mapping[str, str] | None = None,
        identity: str | None = None,
    ) -> Verified:
        """The good signatures of an image; at least one.

        A signature is good when this key made it, it is of this very manifest, it claims the
        right name, and it says what is asked for.

        Args:
            image: as for `sign`.
            key: the public key's file, as a `pathlib.Path`, or what it holds (PEM or DER).
            annotations: what a signature must say to count.
            identity: the name that it must claim, where the image has another one here.

        Raises:
            Refused: there is no such signature; the message says what is wrong with each.
        """
        from casstore.files.namedfile import content_of
        from casstore.flows.sign import verify_image
        from casstore.trust.identity import parse_identity
        from casstore.trust.keys import read_public_key

        return verify_image(
            self._session.view(),
            self._session.backend.blobs.read,
            image,
            read_public_key(content_of(key, "key"), "the key"),
            annotations=annotations or {},
            identity=None if identity is None else parse_identity(identity),
        )

    def encrypt(
        self,
        image: str,
        name: str,
        recipients: Several[tuple[str, Key]],
        *,
        layers: Several[int] | None = None,
    ) -> Digest:
        """Give an image a manifest with encrypted layers, under a new name.

        The layers are encrypted as ocicrypt does; the config, and so the image ID, stays.

        Args:
            image: a name or an ID.
            name: of the encrypted form.
            recipients: who can decrypt it: `jwe` and a public key (PEM or DER), or `pkcs7` and a
                certificate; of either the file, as a `pathlib.Path`, or what it holds.
            layers: which layers, from 0; from the top, from -1; all by default.

        Returns:
            The digest of the new manifest.

        Raises:
            UsageError: no recipient, an unknown scheme, no such layer.
            Refused, Unsupported: a key that is none; an image that is none, or encrypted already.
        """
        from casstore.crypt.keywrap import read_recipient
        from casstore.files.namedfile import content_of
        from casstore.flows.encrypt import encrypt_image
        from casstore.model.arguments import several

        pairs = several(recipients, "recipients", tuple)
        numbers = None if layers is None else several(layers, "layers", int)
        if not pairs:
            raise UsageError("no recipient given")
        known = [
            read_recipient(scheme, content_of(data, "recipient"), f"recipient {number}")
            for number, (scheme, data) in enumerate(pairs, 1)
        ]
        return self._rewritten(
            lambda ingest, progress: encrypt_image(
                self._session.view(),
                ingest,
                image,
                name,
                recipients=known,
                layers=numbers,
                progress=progress,
            ),
            ENCRYPT,
        )

    def decrypt(
        self, image: str, name: str, keys: Several[tuple[Key, Callable[[], bytes] | None]]
    ) -> Digest:
        """Give an image a manifest with its layers in the clear, under a new name.

        Args:
            image: a name or an ID.
            name: of the form in the clear.
            keys: private keys (PEM or DER; the file, as a `pathlib.Path`, or what it holds), each
                with a way to its password, if it has one.

        Returns:
            The digest of the new manifest.

        Raises:
            Refused: no key fits, or a layer is not what was encrypted; nothing is changed.
        """
        from casstore.files.namedfile import content_of
        from casstore.flows.encrypt import decrypt_image
        from casstore.model.arguments import several
        from casstore.trust.keys import read_private_key

        pairs = several(keys, "keys", tuple)
        if not pairs:
            raise UsageError("no key given")
        private = [
            read_private_key(content_of(data, "key"), f"key {number}", password or (lambda: b""))
            for number, (data, password) in enumerate(pairs, 1)
        ]
        return self._rewritten(
            lambda ingest, progress: decrypt_image(
                self._session.view(), ingest, image, name, private, progress=progress
            ),
            DECRYPT,
        )

    def _rewritten(
        self, write: Callable[[Ingest, Progress | None], Arrival], action: str
    ) -> Digest:
        """Take in another form of an image that is here."""
        self._session.backend.require()
        tops: list[Digest] = []

        def read(ingest: Ingest, progress: Progress | None) -> Sequence[Arrival]:
            arrival = write(ingest, progress)
            tops.append(arrival.image.top.digest)
            return [arrival]

        take_in(self._session, read, origin=None, action=action)
        return tops[0]
