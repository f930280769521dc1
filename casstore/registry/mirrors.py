"""A repository that several hosts may have: its mirrors, as configured, and its registry.

They are asked in their order. Those that lack the manifest are asked last for all else. What a
mirror sends is held to its digest, as from any host; one that sends another thing is passed over
like one that does not answer. Each host gets its own login and no other.
"""

from __future__ import annotations

from casstore.errors import NotFound, Refused, RegistryError
from casstore.registry.endpoint import ALL, BY_DIGEST, BY_TAG
from casstore.registry.failures import BrokenConnection
from casstore.registry.remote import Registry, Repository
from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TypeVar

    from casstore.model.descriptor import Descriptor
    from casstore.model.reference import Name
    from casstore.registry.answer import Answer
    from casstore.registry.auth import Scopes
    from casstore.registry.connection import Body
    from casstore.registry.endpoint import Endpoint
    from casstore.registry.http import Transport

    T = TypeVar("T")

ATTEMPTS = 2  # to reach a mirror: another host is there to be asked


def repository_to_read(transport: Transport, name: Name) -> Repository:
    """The repository of a name, to be read: where the files about registries say that it is.

    Raises:
        Refused: it is blocked.
        RegistryError: such a file cannot be used.
    """
    domain, _, path = name.repository.partition("/")
    access = transport.access
    found: Sequence[Endpoint] | None = None
    if access.registry_files and not transport.mirror:
        from casstore.registry.registriesconf import endpoints, read_rules, rule_for

        whole, by_digest = str(name.reference), name.digest is not None
        rule = rule_for(read_rules(access.registry_files), whole)
        if rule is not None:
            all_ = endpoints(rule, whole)
            # What a mirror serves is decided by the name alone, and holds for all below it.
            found = [one._replace(usage=ALL) for one in all_ if one.serves(by_digest=by_digest)]
    if found is None and access.host_folders and not transport.mirror:
        from casstore.registry.hoststoml import hosts_for

        found = hosts_for(access.host_folders, domain, path)
    plain = Registry(transport, domain)
    if found is None:
        return Repository(plain, path)
    sources = []
    for endpoint in found:
        registry = Registry(transport, endpoint.host, endpoint=endpoint)
        if endpoint is not found[-1]:
            registry.attempts = ATTEMPTS
        sources.append(Source(Repository(registry, endpoint.path), endpoint.usage))
    return Mirrored(plain, path, sources)


class Source(Value):
    """A host that may have the repository."""

    repository: Repository
    usage: str


class Mirrored(Repository):
    """Reads from the first host that has what is asked for. Its name is the one that was asked."""

    def __init__(self, registry: Registry, path: str, sources: Sequence[Source]) -> None:
        super().__init__(registry, path)
        self._by_tag = [one.repository for one in sources if one.usage != BY_DIGEST]
        self._by_digest = [one.repository for one in sources if one.usage != BY_TAG]
        self._gone: set[Repository] = set()  # that did not answer

    def request(
        self, method: str, url: str, scopes: Scopes | None = None, *,
        headers: Mapping[str, str] | None = None, body: Body | None = None,
        attempts: int | None = None,
    ) -> Answer:  # fmt: skip
        """Of the host that had the manifest: what refers to it, say."""
        return self._found.request(method, url, headers=headers, body=body, attempts=attempts)

    def refusal(self, answer: Answer, what: str) -> NotFound | RegistryError:
        return self._found.refusal(answer, what)

    @property
    def _found(self) -> Repository:
        if not self._by_tag:
            raise RegistryError(f"no host may be asked for {self.name}")
        return self._by_tag[0]

    def manifest(self, reference: str, *, expect: str = "") -> tuple[Descriptor, bytes]:
        order = self._by_digest if ":" in reference else self._by_tag
        found, answer = self._first(order, lambda one: one.manifest(reference, expect=expect))
        lacking = order[: order.index(found)]
        for hosts in (self._by_tag, self._by_digest):
            hosts.sort(key=lambda one: one in lacking)  # in their order otherwise
        return answer

    def blob(self, descriptor: Descriptor, offset: int = 0) -> Answer:
        return self._first(self._by_digest, lambda one: one.blob(descriptor, offset))[1]

    def document(self, descriptor: Descriptor) -> bytes:
        return self._first(self._by_digest, lambda one: one.document(descriptor))[1]

    def tags(self) -> list[str]:
        return self._first(self._by_tag, lambda one: one.tags())[1]

    def _first(
        self, hosts: Sequence[Repository], ask: Callable[[Repository], T]
    ) -> tuple[Repository, T]:
        """The first of some hosts that can answer, and its answer.

        Raises what the last one raises, with what the others said.
        """
        order = [one for one in hosts if one not in self._gone] or list(hosts)
        said: list[str] = []
        for host in order:
            try:
                return host, ask(host)
            except (RegistryError, NotFound, Refused) as error:
                if isinstance(error, BrokenConnection):
                    self._gone.add(host)
                if host is order[-1]:
                    if not said:
                        raise
                    raise type(error)(f"{error} (before that, {'; '.join(said)})") from None
                domain = host.registry.domain
                said.append(f"{domain}: {error}")
                if not isinstance(error, NotFound):  # a mirror need not have all
                    host.registry.transport.notice(
                        f"{domain} is passed over for {self.name}: {error}"
                    )
        raise RegistryError(f"no host may be asked for {self.name}")
