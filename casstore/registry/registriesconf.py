"""registries.conf as podman and skopeo read it: other places, mirrors, what is blocked.

One file counts (the user's, else the system's), and the drop-in files beside it. A `[[registry]]`
table is chosen by the longest prefix of the name in full; one of a later file replaces one with the
same prefix. Short names are as Docker has them: aliases, search lists, credential helpers and
sigstore's places are passed over.

Source: containers-registries.conf(5), containers-registries.conf.d(5); containers/image,
pkg/sysregistriesv2. Different on purpose: `example.com` does not fit example.com:5000, which its
authors call unintended.
"""

from __future__ import annotations

from casstore.errors import InvalidReference, Refused, RegistryError, printable, quote
from casstore.model.reference import parse_name
from casstore.registry.endpoint import ALL, BY_DIGEST, BY_TAG, Endpoint
from casstore.registry.tomlfile import boolean, read_toml, table_of, tables, text, texts
from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

_WILD = "*."
_USES = ("", ALL, BY_DIGEST, BY_TAG)
KEY = "registry"


class Mirror(Value):
    """A mirror, or the registry itself."""

    location: str  # empty: as the name says
    insecure: bool
    usage: str = ALL


class Rule(Value):
    """A `[[registry]]` table."""

    prefix: str
    blocked: bool
    mirrors: tuple[Mirror, ...]  # in their order, the registry itself last
    file: str

    def fits(self, name: str) -> int:
        """How much of a name the prefix takes up; 0 where it does not fit."""
        if self.prefix.startswith(_WILD):
            domain = name.partition("/")[0]
            bare = domain.partition(":")[0]
            return len(bare) if bare.endswith(self.prefix[1:]) else 0
        end = len(self.prefix)
        next_ = name[end : end + 1]
        if not name.startswith(self.prefix) or next_ not in ("", "/", ":", "@"):
            return 0
        return 0 if next_ == ":" and "/" not in self.prefix else end


def read_rules(files: Sequence[str]) -> list[Rule]:
    """The tables of the files that are there, a later one with the same prefix in place of one.

    Raises:
        RegistryError: a file cannot be read, or is not what it should be.
    """
    rules: dict[str, Rule] = {}
    for file in files:
        found = read_toml(file, "registr", needed=True)
        if found is None:
            continue
        own: dict[str, Rule] = {}
        for rule in (
            *_of_version_1(found, file),
            *(_rule(t, file) for t in tables(found, KEY, file)),
        ):
            own.setdefault(rule.prefix, rule)  # within a file the first counts
        rules.update(own)
    return list(rules.values())


def _of_version_1(found: dict[str, Any], file: str) -> Iterator[Rule]:
    """What is blocked or insecure by a file of the first version: lists of prefixes."""
    old = table_of(found, "registries", file)
    blocked, insecure = (
        [one.rstrip("/") for one in texts(table_of(old, kind, file), "registries", file)]
        for kind in ("block", "insecure")
    )
    for prefix in dict.fromkeys((*blocked, *insecure)):
        yield Rule(prefix, prefix in blocked, (Mirror(prefix, prefix in insecure),), file)


def _rule(table: dict[str, Any], file: str) -> Rule:
    location = _location(table, file)
    prefix = text(table, "prefix", file).rstrip("/") or location
    if not prefix or (not location and not prefix.startswith(_WILD)):
        raise RegistryError(f"{printable(file)} has a [[registry]] without a location")
    if prefix.startswith(_WILD) and set("/@:") & set(prefix):
        raise RegistryError(
            f"{printable(file)}: {quote(prefix)} is no prefix: expected *.example.com"
        )
    by_digest = boolean(table, "mirror-by-digest-only", file)
    mirrors = []
    for mirror in tables(table, "mirror", file):
        usage = text(mirror, "pull-from-mirror", file)
        place = _location(mirror, file)
        if not place:
            raise RegistryError(f"{printable(file)} has a mirror of {prefix} without a location")
        if usage not in _USES or (usage and by_digest):
            raise RegistryError(
                f"{printable(file)}: pull-from-mirror of {place} can be {ALL}, {BY_DIGEST} or"
                f" {BY_TAG}, and only without mirror-by-digest-only"
            )
        usage = BY_DIGEST if by_digest else usage or ALL
        mirrors.append(Mirror(place, boolean(mirror, "insecure", file), usage))
    mirrors.append(Mirror(location, boolean(table, "insecure", file)))
    return Rule(prefix, boolean(table, "blocked", file), tuple(mirrors), file)


def _location(table: dict[str, Any], file: str) -> str:
    location = text(table, "location", file).rstrip("/")
    if "://" in location:
        raise RegistryError(f"{printable(file)}: a location has no scheme: {quote(location)}")
    return location


def rule_for(rules: Sequence[Rule], name: str) -> Rule | None:
    """The rule with the longest prefix of a name in full."""
    fitting = [rule for rule in rules if rule.fits(name)]
    return max(fitting, key=lambda rule: len(rule.prefix), default=None)


def endpoints(rule: Rule, name: str) -> Iterator[Endpoint]:
    """Where a name in full is looked for, in order.

    Raises:
        Refused: it is blocked.
        RegistryError: a location makes another tag of it, or no name at all.
    """
    if rule.blocked:
        raise Refused(f"registry {rule.prefix} is blocked in {printable(rule.file)}")
    rest = name[rule.fits(name) :]
    wanted = parse_name(name)
    for mirror in rule.mirrors:
        new = mirror.location + rest if mirror.location else name
        try:
            found = parse_name(new)
        except InvalidReference:
            found = None
        if found is None or found.full != new or found[1:] != wanted[1:]:
            raise RegistryError(
                f"{printable(rule.file)}: the location {quote(mirror.location)} makes of {name}"
                f" {quote(new)}, which is no name of the same tag"
            )
        domain, _, path = found.repository.partition("/")
        yield Endpoint(
            domain,
            path,
            insecure=mirror.insecure,
            usage=mirror.usage,
            is_mirror=domain != wanted.repository.partition("/")[0],
        )
