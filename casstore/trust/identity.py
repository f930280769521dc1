"""Which image a signature claims to be of, and the ways to hold that against the one at hand.

The claim (`critical.identity.docker-reference`) is a repository, as cosign writes it, or a
reference with a tag, as podman and skopeo do. Both are compared in their full form, so that
`index.docker.io/library/app` and `app` are the same repository.

Source: containers-policy.json(5), "signedIdentity"; containers/image's policy_reference_match.go.
"""

from __future__ import annotations

from casstore.errors import InvalidReference, quote
from casstore.model.reference import Reference, parse_name
from casstore.startup.value import Value


class Identity(Value):
    """A reference as a signature or a policy has it: no tag is no tag, not `latest`."""

    repository: str
    tag: str | None
    digest: str | None

    @property
    def text(self) -> str:
        """In full, as messages show it."""
        tag = f":{self.tag}" if self.tag else ""
        return self.repository + tag + (f"@{self.digest}" if self.digest else "")

    @property
    def is_name_only(self) -> bool:
        """Whether it names a repository and nothing in it."""
        return self.tag is None and self.digest is None


def parse_identity(text: str) -> Identity:
    """Parse a reference without adding a tag to it.

    Raises:
        InvalidReference: as `parse_name`.
    """
    name = parse_name(text)
    has_tag = ":" in text.partition("@")[0].rpartition("/")[2]
    return Identity(name.repository, name.tag if has_tag else None, name.digest)


def identity_of(name: Reference) -> Identity:
    """A name of the store as an identity."""
    return Identity(name.repository, name.tag, name.digest)


def matches_exactly(wanted: Identity, claimed: Identity) -> bool:
    """`matchExact`: the same tag or digest of the same repository."""
    return not wanted.is_name_only and wanted == claimed


def matches_repository(wanted: Identity, claimed: Identity) -> bool:
    """`matchRepository`: the same repository, whatever the tag."""
    return wanted.repository == claimed.repository


def matches_repo_digest_or_exactly(wanted: Identity, claimed: Identity) -> bool:
    """`matchRepoDigestOrExact`: exactly for a tag, by repository for a digest reference."""
    if wanted.digest is not None:
        return matches_repository(wanted, claimed)
    return matches_exactly(wanted, claimed)


def matches_as_far_as_claimed(wanted: Identity, claimed: Identity) -> bool:
    """The same repository; and the same tag, where both have one.

    The rule of `verify`: cosign claims a repository only, podman and skopeo a tag too.
    """
    return matches_repository(wanted, claimed) and (
        None in (wanted.tag, claimed.tag) or wanted.tag == claimed.tag
    )


def remapped(wanted: Identity, prefix: str, signed_prefix: str) -> Identity:
    """`remapIdentity`: `wanted` with a prefix of its repository replaced, if it has it."""
    repository = wanted.repository
    if repository == prefix or repository.startswith(prefix + "/"):
        return wanted._replace(repository=signed_prefix + repository[len(prefix) :])
    return wanted


def mismatch(wanted: Identity, claimed_text: str) -> str:
    """What is wrong with a claim, as part of a message."""
    return f"it is for {quote(claimed_text)}, not for {quote(wanted.text)}"


def parsed_claim(text: str) -> Identity | None:
    """The identity that a payload claims; None where it is no reference at all."""
    try:
        return parse_identity(text)
    except InvalidReference:
        return None
