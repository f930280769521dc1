"""Where a repository is looked for: a registry or a mirror, and how that host is spoken to."""

from __future__ import annotations

from casstore.startup.value import Value

ROOT = "/v2"  # of the distribution API
ALL, BY_DIGEST, BY_TAG = "all", "digest-only", "tag-only"


class Certificates(Value):
    """What TLS with a host goes by, besides the authorities that everybody trusts."""

    folder: str = ""  # Docker's folder for the host; empty: none
    authorities: tuple[str, ...] = ()  # files
    clients: tuple[
        tuple[str, str], ...
    ] = ()  # files: certificate and key; no key: in the same file
    verify: bool = True


USUAL = Certificates()


class Endpoint(Value):
    """A repository at one host."""

    host: str  # with its port, if that is told
    path: str  # of the repository there
    scheme: str = ""  # empty: as the host's name says
    insecure: bool = False  # any certificate will do, and plain HTTP too
    root: str = ROOT  # before the path in addresses
    namespace: str = ""  # the registry that is meant, which a mirror of several is told as `ns`
    headers: tuple[tuple[str, str], ...] = ()  # for this host alone
    certificates: Certificates = USUAL
    usage: str = ALL  # what it may be asked for
    is_mirror: bool = True  # not the registry that is meant, whose login is not told to it

    def serves(self, *, by_digest: bool) -> bool:
        """Whether it may be asked for a manifest by its digest, or by a tag."""
        return self.usage != (BY_TAG if by_digest else BY_DIGEST)
