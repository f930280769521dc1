"""References: `[domain/]path[:tag][@digest]`, in full and in familiar form.

Grammar and normalisation are those of the distribution project's `reference` package, as Docker
uses it: `busybox` means `docker.io/library/busybox:latest` and is shown as `busybox:latest`.
Written without `re`, whose import costs as much as the rest of `rmi`.
"""

from __future__ import annotations

from casstore.errors import InvalidReference
from casstore.model.digest import PREFIX, Digest, is_hex64
from casstore.startup.value import Value

DEFAULT_DOMAIN = "docker.io"
LEGACY_DEFAULT_DOMAIN = "index.docker.io"
OFFICIAL = "library/"
DEFAULT_TAG = "latest"
MAX_NAME = 255
MAX_TAG = 128

_LOWER = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_ALNUM = _LOWER | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_TAG = _ALNUM | frozenset("_.-")
_DIGITS = frozenset("0123456789")
_SEPARATORS = frozenset(("", ".", "_", "__"))


class Reference(str):
    """A name as the store keeps it: `domain/path:tag` or `domain/path@sha256:<hex>`, in full."""

    __slots__ = ()

    @property
    def repository(self) -> str:
        """Domain and path."""
        return self.partition("@")[0] if "@" in self else self.rpartition(":")[0]

    @property
    def tag(self) -> str | None:
        """The tag, or None for a digest reference."""
        return None if "@" in self else self.rpartition(":")[2]

    @property
    def digest(self) -> Digest | None:
        """The manifest digest, or None for a tag."""
        return Digest(self.partition("@")[2]) if "@" in self else None

    @property
    def familiar(self) -> str:
        """The short form that all output uses."""
        return familiar_name(self)


class Name(Value):
    """An argument that parsed as a name. It may carry both a tag and a digest."""

    repository: str
    tag: str | None
    digest: Digest | None

    @property
    def reference(self) -> Reference:
        """What to look up: the digest where there is one (a tag beside it is ignored)."""
        if self.digest is not None:
            return Reference(f"{self.repository}@{self.digest}")
        return Reference(f"{self.repository}:{self.tag}")

    @property
    def full(self) -> str:
        """The full form of all that was given, tag and digest."""
        return self._of(self.repository)

    @property
    def familiar(self) -> str:
        """The familiar form of all that was given, tag and digest."""
        return self._of(familiar_name(self.repository))

    def _of(self, text: str) -> str:
        if self.tag is not None:
            text += f":{self.tag}"
        if self.digest is not None:
            text += f"@{self.digest}"
        return text


def parse_name(text: str) -> Name:
    """Parse and normalise a name; no tag and no digest means `:latest`.

    Raises:
        InvalidReference: blank, 64 hex digits, upper case in the path, too long, or any other
            breach of the grammar; the texts are those of dockerd.
    """
    if not text.strip():
        raise InvalidReference("image name cannot be blank")
    if is_hex64(text):
        raise InvalidReference(
            f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings"
        )
    rest, at, digest_text = text.partition("@")
    first, slash, after = rest.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        domain, remainder = first, after
    else:
        domain, remainder = DEFAULT_DOMAIN, rest
    path, colon, tag = remainder.partition(":")
    if domain == LEGACY_DEFAULT_DOMAIN:
        domain = DEFAULT_DOMAIN
    # dockerd looks for upper case in all that is not the domain or the tag, before the grammar.
    if path != path.lower():
        raise InvalidReference("invalid reference format: repository name must be lowercase")
    digest: Digest | None = None
    if at:
        if not (digest_text.startswith(PREFIX) and is_hex64(digest_text[len(PREFIX) :])):
            raise InvalidReference("invalid reference format")
        digest = Digest(digest_text)
    if colon and not is_tag(tag):
        raise InvalidReference("invalid reference format")
    if not _is_domain(domain) or not all(map(_is_component, path.split("/"))):
        raise InvalidReference("invalid reference format")
    if domain == DEFAULT_DOMAIN and "/" not in path:
        path = OFFICIAL + path
    repository = f"{domain}/{path}"
    if len(repository) > MAX_NAME:
        raise InvalidReference(f"repository name must not be more than {MAX_NAME} characters")
    if not colon:
        return Name(repository, None if digest else DEFAULT_TAG, digest)
    return Name(repository, tag, digest)


def subject_of(name: Reference) -> Digest | None:
    """What a tag of the form `sha256-<64 hex>[.suffix]` refers to: the digest in it.

    Such tags stand for referrers where a registry has no list of them (distribution-spec,
    "Referrers Tag Schema"), and cosign gives them to signatures (`.sig`), attestations and SBOMs.
    """
    tag = name.tag or ""
    if not tag.startswith("sha256-") or tag[71:72] not in ("", "."):
        return None
    return Digest.of_hex(tag[7:71]) if is_hex64(tag[7:71]) else None


def parse_target(text: str) -> Reference:
    """Parse a name that a tag shall be made for (`tag SRC DST`, RepoTags, import).

    Raises:
        InvalidReference: as `parse_name`, and for a digest or the name `sha256`.
    """
    name = parse_name(text)
    if name.digest is not None:
        raise InvalidReference("refusing to create a tag with a digest reference")
    if familiar_name(name.repository) == "sha256":
        raise InvalidReference("refusing to create an ambiguous tag using digest algorithm as name")
    return name.reference


def familiar_name(full: str) -> str:
    """Drop `docker.io/`, and `library/` after it where one component follows."""
    if not full.startswith(DEFAULT_DOMAIN + "/"):
        return full
    rest = full[len(DEFAULT_DOMAIN) + 1 :]
    if rest.startswith(OFFICIAL) and "/" not in rest[len(OFFICIAL) :]:
        return rest[len(OFFICIAL) :]
    return rest


def is_tag(text: str) -> bool:
    """Whether `text` is a legal tag."""
    return 0 < len(text) <= MAX_TAG and text[0] not in "-." and _TAG.issuperset(text)


def _is_component(text: str) -> bool:
    # [a-z0-9]+ joined by one ".", one or two "_", or any number of "-"
    if not text or text[0] not in _LOWER or text[-1] not in _LOWER:
        return False
    separator = ""
    for c in text:
        if c not in _LOWER:
            separator += c
        elif separator in _SEPARATORS or not separator.strip("-"):
            separator = ""
        else:
            return False
    return True


def _is_domain(text: str) -> bool:
    # labels of letters, digits and inner hyphens joined by dots, or an IPv6 address in brackets;
    # then an optional port of digits
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        hexadecimal = _DIGITS | frozenset("abcdefABCDEF:")
        return bool(
            bracket
            and host
            and hexadecimal.issuperset(host)
            and (not port or (port[0] == ":" and len(port) > 1 and _DIGITS.issuperset(port[1:])))
        )
    host, colon, port = text.partition(":")
    if colon and not (port and _DIGITS.issuperset(port)):
        return False
    return all(
        label and label[0] != "-" and label[-1] != "-" and (_ALNUM | {"-"}).issuperset(label)
        for label in host.split(".")
    )
