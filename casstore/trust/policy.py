"""Trust policies: the file that says which images may come in, and what it says of one.

The format is containers-policy.json(5), as podman and skopeo read it: the requirements of the most
specific scope hold, and all of them. Parsed strictly, as there: what is not known is refused,
for a requirement that is passed over is none. GPG signatures (`signedBy`), Fulcio and Rekor are
known and cannot be checked here: an image that they apply to is refused.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable, Mapping, Sequence

from casstore.errors import CasstoreError, InvalidReference, Refused, quote
from casstore.model import document
from casstore.model.digest import Digest
from casstore.model.document import Fields
from casstore.startup.value import Value
from casstore.trust import keys
from casstore.trust.cosign import check_signature
from casstore.trust.identity import (
    Identity,
    matches_exactly,
    matches_repo_digest_or_exactly,
    matches_repository,
    parse_identity,
    remapped,
)

MAX_POLICY = 1 << 20
MAX_REQUIREMENTS = 1000  # in one scope
_KEYS = ("keyPath", "keyPaths", "keyData", "keyDatas")
# Parts of sigstoreSigned that ask for more than a key.
_BEYOND_KEYS = (
    "fulcio", "rekorPublicKeyPath", "rekorPublicKeyPaths", "rekorPublicKeyData",
    "rekorPublicKeyDatas", "pki",
)  # fmt: skip
_MATCHES = {
    "matchExact": matches_exactly,
    "matchRepoDigestOrExact": matches_repo_digest_or_exactly,
    "matchRepository": matches_repository,
    "exactReference": matches_exactly,
    "exactRepository": matches_repository,
    "remapIdentity": matches_repo_digest_or_exactly,
}
_IDENTITY_FIELDS = {
    "exactReference": ("dockerReference",),
    "exactRepository": ("dockerRepository",),
    "remapIdentity": ("prefix", "signedPrefix"),
}

Signature = tuple[bytes, Mapping[str, str]]  # payload; annotations of its descriptor
ReadFile = Callable[[str], bytes]


class Candidate(Value):
    """An image at the door, under one of its names."""

    shown: str  # how messages name it
    transport: str  # where it comes from: docker, or that of a format
    scopes: tuple[str, ...]  # of the transport, most specific first
    identity: Identity | None  # the name it shall have here; None where it has none
    digest: Digest  # of its manifest or index
    signatures: tuple[Signature, ...]


class Requirement(Value):
    """One requirement: what kind it is, and what it asks for."""

    kind: str  # insecureAcceptAnything, reject, sigstoreSigned; or what cannot be checked
    keys: tuple[str, ...] = ()  # paths
    key_data: tuple[bytes, ...] = ()
    match: str = ""  # a key of _MATCHES
    values: tuple[str, ...] = ()  # what the match compares with
    unsupported: str = ""  # why it cannot be checked


class Policy(Value):
    """A policy as its file has it."""

    name: str  # of the file, for messages
    default: tuple[Requirement, ...]
    transports: dict[str, dict[str, tuple[Requirement, ...]]]

    def requirements(self, transport: str, scopes: Sequence[str]) -> tuple[Requirement, ...]:
        """Those of the most specific scope."""
        known = self.transports.get(transport, {})
        return next((known[scope] for scope in (*scopes, "") if scope in known), self.default)


def check(policy: Policy, candidate: Candidate, read_file: ReadFile) -> None:
    """Let an image in, or not.

    Args:
        policy: parsed.
        candidate: the image.
        read_file: reads a key's file; raises CasstoreError.

    Raises:
        Refused: a requirement is not met.
    """
    for requirement in policy.requirements(candidate.transport, candidate.scopes):
        try:
            _require(requirement, candidate, read_file)
        except CasstoreError as error:
            raise Refused(
                f"{candidate.shown} is refused by the policy {quote(policy.name)}: {error}"
            ) from None


def docker_scopes(name: Identity) -> tuple[str, ...]:
    """Scopes of a name in a registry: itself, its repository, all above, wildcards of the host."""
    scopes = [name.text] if not name.is_name_only else []
    path = name.repository
    while path:
        scopes.append(path)
        path = path.rpartition("/")[0]
    labels = scopes[-1].partition(":")[0].split(".")
    scopes += ["*." + ".".join(labels[at:]) for at in range(1, len(labels))]
    return tuple(scopes)


def path_scopes(path: str, tag: str | None) -> tuple[str, ...]:
    """Scopes of a file or directory (absolute, without links): itself, and each directory above."""
    scopes = [f"{path}:{tag}"] if path and tag is not None else []
    while path not in ("/", ""):
        scopes.append(path)
        path = path.rpartition("/")[0]
    return tuple(scopes)


def _require(requirement: Requirement, candidate: Candidate, read_file: ReadFile) -> None:
    if requirement.unsupported:
        raise Refused(requirement.unsupported)
    if requirement.kind == "insecureAcceptAnything":
        return
    if requirement.kind == "reject":
        raise Refused("it rejects every image from there")
    wanted = _wanted(requirement, candidate)
    public = [keys.read_public_key(read_file(path), quote(path)) for path in requirement.keys]
    public += [keys.read_public_key(data, "keyData") for data in requirement.key_data]
    if not candidate.signatures:
        raise Refused("it has no signatures")
    reasons = []
    for number, (payload, notes) in enumerate(candidate.signatures, 1):
        for key in public:
            try:
                check_signature(
                    payload, notes, key=key, digest=candidate.digest, identity=wanted,
                    matches=_MATCHES[requirement.match], wanted={},
                )  # fmt: skip
            except Refused as refusal:
                reasons.append(f"signature {number} {refusal}")
            else:
                return
    raise Refused("; ".join(dict.fromkeys(reasons)))


def _wanted(requirement: Requirement, candidate: Candidate) -> Identity:
    """The identity that a signature must claim."""
    if requirement.match in ("exactReference", "exactRepository"):
        return parse_identity(requirement.values[0])
    if candidate.identity is None:
        raise Refused(f"it has no name, and {requirement.match} compares names")
    if requirement.match == "remapIdentity":
        return remapped(candidate.identity, *requirement.values)
    return candidate.identity


# Parsing


def parse_policy(data: bytes, name: str) -> Policy:
    """Parse a policy.

    Args:
        data: the file's content.
        name: of the file, for messages.

    Raises:
        Refused: it is none, or has anything in it that is not known.
    """
    title = f"the policy {quote(name)}"
    fields = Fields(document.parse(data, title, limit=MAX_POLICY), title)
    _only(fields, "default", "transports")
    default = _requirements(fields.values.get("default"), f'"default" of {title}')
    transports = {}
    for transport, value in fields.mapping("transports").items():
        where = f"transport {quote(transport)} of {title}"
        scopes = Fields(value, where).values
        transports[transport] = {
            scope: _requirements(items, f"scope {quote(scope)} of {where}")
            for scope, items in scopes.items()
        }
    return Policy(name, default, transports)


def _requirements(value: object, where: str) -> tuple[Requirement, ...]:
    if not isinstance(value, list) or not value:
        raise Refused(f"{where} is not a list of requirements")
    if len(value) > MAX_REQUIREMENTS:
        raise Refused(f"{where} exceeds the limit of {MAX_REQUIREMENTS} requirements")
    return tuple(
        _requirement(Fields(item, f"requirement {number} of {where}"))
        for number, item in enumerate(value, 1)
    )


def _requirement(fields: Fields) -> Requirement:
    kind = fields.text("type")
    if kind in ("insecureAcceptAnything", "reject"):
        _only(fields, "type")
        return Requirement(kind)
    if kind in ("signedBy", "signedBaseLayer"):
        return Requirement(
            kind, unsupported=f"it asks for {kind}: GPG signatures are not supported"
        )
    if kind != "sigstoreSigned":
        raise Refused(f"{fields.name} has the unknown type {quote(kind)}")
    _only(fields, "type", "signedIdentity", *_KEYS, *_BEYOND_KEYS)
    match, values = _identity(fields)
    beyond = [key for key in _BEYOND_KEYS if key in fields]
    if beyond:
        return Requirement(
            kind,
            unsupported=f"it asks for {beyond[0]}: only signatures by a key are supported",
        )
    given = [key for key in _KEYS if key in fields]
    if len(given) != 1:
        raise Refused(f"{fields.name} must have exactly one of {', '.join(_KEYS)}")
    texts = fields.texts(given[0]) if given[0].endswith("s") else [fields.text(given[0])]
    if not texts or not all(texts):
        raise fields.wrong(given[0], "is empty")
    if given[0].startswith("keyPath"):
        return Requirement(kind, keys=tuple(texts), match=match, values=values)
    data = tuple(_decoded(fields, given[0], text) for text in texts)
    return Requirement(kind, key_data=data, match=match, values=values)


def _identity(fields: Fields) -> tuple[str, tuple[str, ...]]:
    if "signedIdentity" not in fields:
        return "matchRepoDigestOrExact", ()
    identity = fields.fields("signedIdentity")
    match = identity.text("type")
    if match not in _MATCHES:
        raise Refused(f"{identity.name} has the unknown type {quote(match)}")
    names = _IDENTITY_FIELDS.get(match, ())
    _only(identity, "type", *names)
    values = tuple(identity.text(name) for name in names)
    if not all(values):
        raise Refused(f"{identity.name} must have {' and '.join(names)}")
    if match == "remapIdentity":
        return match, values
    for value in values:
        try:
            parsed = parse_identity(value)
        except InvalidReference as error:
            raise identity.wrong(names[0], f"is not a reference: {error}") from None
        if parsed.is_name_only is (match == "exactReference"):
            what = "no tag or digest" if parsed.is_name_only else "a tag or digest"
            raise identity.wrong(names[0], f"has {what}")
    return match, values


def _decoded(fields: Fields, key: str, text: str) -> bytes:
    try:
        return binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        raise fields.wrong(key, "is not base64") from None


def _only(fields: Fields, *known: str) -> None:
    for key in fields.values:
        if key not in known:
            raise fields.wrong(key, "is not known")
