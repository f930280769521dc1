"""One registry and one repository in it: the requests of the distribution API (OCI, v2).

Every document and every answer is checked here for its form and size; that content is what its
digest says is checked for documents here, for blobs by who reads them.
"""

from __future__ import annotations

from casstore.errors import NotFound, Refused, RegistryError, quote
from casstore.model import mediatype
from casstore.model.descriptor import Descriptor
from casstore.model.digest import Digest, sha256
from casstore.model.document import MAX_DOCUMENT
from casstore.model.reference import DEFAULT_DOMAIN, is_tag
from casstore.registry.address import (
    HTTP,
    HTTPS,
    host_of,
    is_loopback,
    origin_of,
    place_of,
    resolve,
)
from casstore.registry.auth import Authorizer, Unauthorized
from casstore.registry.documents import decoded, json_object, reason
from casstore.registry.endpoint import ROOT
from casstore.registry.failures import BrokenConnection, NoTls, Unreachable
from casstore.registry.http import ATTEMPTS
from casstore.registry.pages import pages, query

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from casstore.registry.answer import Answer
    from casstore.registry.auth import Scopes
    from casstore.registry.connection import Body
    from casstore.registry.credentials import Login
    from casstore.registry.endpoint import Endpoint
    from casstore.registry.http import Transport

MAX_TAGS = 100_000
MAX_REFUSALS = 3  # of one request: no login yet; a token that has ended; one for too little
MANIFEST_TYPES = (
    mediatype.OCI_INDEX,
    mediatype.OCI_MANIFEST,
    mediatype.DOCKER_LIST,
    mediatype.DOCKER_MANIFEST,
)
_RANGE = r"bytes (\d{1,18})-\d{0,18}/(?:\d{1,18}|\*)"
_NO_RANGE = frozenset((206, 400, 405, 416, 501))  # the request, or its answer, cannot be used
_HIDDEN = frozenset((400, 401, 403, 404))
# What servers send that do not care what a manifest is.
_NO_TYPE = frozenset(("", "application/json", "application/octet-stream", "text/plain"))


class Registry:
    """One registry, as one command talks to it."""

    def __init__(
        self,
        transport: Transport,
        domain: str,
        login: Login | None = None,
        endpoint: Endpoint | None = None,
    ) -> None:
        """Ask nothing yet.

        Args:
            domain: that of references: `docker.io`, `localhost:5000`.
            login: in place of what the files say.
            endpoint: how its host is spoken to, where that is configured.
        """
        self.transport = transport
        self.domain = domain
        self.root = endpoint.root if endpoint is not None else ROOT
        self.attempts = ATTEMPTS
        self._endpoint = endpoint
        is_mirror = endpoint is not None and endpoint.is_mirror
        self._auth = Authorizer(transport, domain, login, is_mirror=is_mirror)
        self._base = ""
        self._greeting: list[str] | None = None  # what GET /v2/ asks for, once it was looked at

    @property
    def base(self) -> str:
        """`https://host[:port]`, or `http://` where that is allowed (see `_plain`), or a mirror."""
        if not self._base:
            host = host_of(self.domain)
            if self._endpoint is not None:
                self._base = self._configured(host, self._endpoint)
                return self._base
            if self.domain == DEFAULT_DOMAIN and self.transport.mirror:
                host = self.transport.mirror.rstrip("/")
                if "://" in host:
                    self._base = host
                    return host
            plain = self.transport.access.plain_http or (is_loopback(host) and self._plain(host))
            self._base = f"{HTTP if plain else HTTPS}://{host}"
        return self._base

    def _configured(self, host: str, endpoint: Endpoint) -> str:
        """The base where a file says how the host is spoken to."""
        certificates = endpoint.certificates
        if endpoint.insecure:
            certificates = certificates._replace(verify=False)
        self.transport.certificates[host] = certificates
        scheme = endpoint.scheme
        if not scheme and endpoint.insecure:
            scheme = HTTPS if self._speaks_tls(host) else HTTP
        elif not scheme:
            plain = self.transport.access.plain_http or (is_loopback(host) and self._plain(host))
            scheme = HTTP if plain else HTTPS
        return f"{scheme}://{host}"

    def _speaks_tls(self, host: str) -> bool:
        """Whether an insecure registry speaks TLS, which comes before plain HTTP."""
        try:
            self.transport.request("GET", f"https://{host}{self.root}/", attempts=1).close()
        except Unreachable:
            raise
        except (BrokenConnection, NoTls):
            return False
        return True

    def request(
        self,
        method: str,
        url: str,
        scopes: Scopes,
        *,
        repository: str = "",
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        attempts: int = ATTEMPTS,
    ) -> Answer:
        """Send a request, with a login where the registry wants one.

        Args:
            url: absolute, or from the root. Another origin gets no login.
            scopes: what a token must allow: `repository:NAME:pull`.
        """
        url = resolve(self.base + "/", url)
        own = origin_of(url) == origin_of(self.base)
        endpoint = self._endpoint
        if own and endpoint is not None and endpoint.namespace:
            url += ("&" if "?" in url else "?") + query(ns=endpoint.namespace)
        more = dict(endpoint.headers) if own and endpoint is not None else None
        sent = self._auth.header(self.base, scopes, repository) if own else None
        refusals = 0
        while True:
            answer = self.transport.request(
                method, url, headers=headers, body=body, authorization=sent, own_headers=more,
                attempts=attempts,
            )  # fmt: skip
            if not own or refusals == MAX_REFUSALS or origin_of(answer.url) != origin_of(url):
                break
            try:
                challenges = self._challenges(answer, sent)
                if not challenges:
                    break
                fresh = self._auth.after_refusal(challenges, self.base, scopes, repository, sent)
            except BaseException:
                answer.close()
                raise
            if fresh is None:
                break
            answer.close()
            sent, refusals = fresh, refusals + 1
        return answer

    def _challenges(self, answer: Answer, sent: str | None) -> list[str]:
        """What a refusal asks for.

        Some registries hide what they have from strangers, as if it were not there, and ask for a
        login at `/v2/` alone (Nexus, Artifactory).
        """
        told = answer.headers("WWW-Authenticate")
        if answer.status == 401 and told:
            return told
        if sent is not None or answer.status not in _HIDDEN:
            return []
        if self._greeting is None:
            address, more = f"{self.base}{self.root}/", self._endpoint and self._endpoint.headers
            greeting = self.transport.request("GET", address, own_headers=dict(more or ()))
            with greeting:
                self._greet(greeting)
        return self._greeting or []

    def _greet(self, greeting: Answer) -> None:
        asks = greeting.status == 401
        self._greeting = greeting.headers("WWW-Authenticate") if asks else []

    @property
    def problems(self) -> list[str]:
        """Why a login may be missing."""
        return self._auth.problems

    def check_login(self) -> None:
        """Ask the registry whether it takes the login. Raises RegistryError, Unauthorized."""
        answer = self.request("GET", "/v2/", frozenset())
        with answer:
            if answer.status in (401, 403):
                raise Unauthorized(f"login attempt to {self.base}/v2/ failed: {reason(answer)}")
            if answer.status != 200:
                raise RegistryError(
                    f"{self.domain} is not a registry that casstore knows:"
                    f" GET /v2/ answers {answer.status}"
                )

    def _plain(self, host: str) -> bool:
        """Whether a registry on this machine speaks plain HTTP; asked without any secret.

        A server that speaks TLS answers 400, or nothing that is HTTP, or closes.
        """
        try:
            with self.transport.request("GET", f"http://{host}/v2/", attempts=1) as answer:
                self._greet(answer)
                return answer.status != 400
        except Unreachable:
            raise
        except BrokenConnection:
            try:
                self.transport.request("GET", f"https://{host}/v2/", attempts=1).close()
            except (BrokenConnection, NoTls):
                return True
            return False


class Repository:
    """One repository of a registry."""

    def __init__(self, registry: Registry, path: str) -> None:
        self.registry = registry
        self.path = path
        self.name = f"{registry.domain}/{path}"
        self.pull = frozenset((f"repository:{path}:pull",))
        self.push = frozenset((f"repository:{path}:pull,push",))
        self.accept = {"Accept": ", ".join(MANIFEST_TYPES)}

    def request(
        self, method: str, url: str, scopes: Scopes | None = None, *,
        headers: Mapping[str, str] | None = None, body: Body | None = None,
        attempts: int | None = None,
    ) -> Answer:  # fmt: skip
        """A request below `/v2/<path>/`, or to an absolute URL that the registry gave."""
        if "://" not in url and not url.startswith("/"):
            url = f"{self.registry.root}/{self.path}/{url}"
        return self.registry.request(
            method, url, scopes or self.pull, repository=self.path, headers=headers, body=body,
            attempts=attempts if attempts is not None else self.registry.attempts,
        )  # fmt: skip

    # Reading

    def manifest(self, reference: str, *, expect: str = "") -> tuple[Descriptor, bytes]:
        """A manifest or index by tag or digest, verified.

        Args:
            reference: a tag, or a digest that the bytes must have.
            expect: the media type that a descriptor gave; the answer must agree.

        Raises:
            NotFound: there is none.
            Refused: other bytes than the digest says, or a type that the document contradicts.
            RegistryError: anything else.
        """
        answer = self.request("GET", f"manifests/{reference}", headers=self.accept)
        if answer.status != 200:
            with answer:
                raise self.refusal(answer, f"manifest for {self.shown(reference)}")
        told, told_type = answer.header("Docker-Content-Digest"), answer.header("Content-Type")
        what = f"manifest {self.shown(reference)}"
        data = decoded(answer, answer.document(MAX_DOCUMENT, what), MAX_DOCUMENT, what)
        digest = sha256(data)
        if ":" in reference and digest != reference:
            raise Refused(f"manifest {reference} has other content: its digest is {digest}")
        if told and ":" not in reference and told.startswith("sha256:") and told != digest:
            raise Refused(
                f"{self.registry.domain} says that {self.shown(reference)} is {quote(told)},"
                f" but sends {digest}"
            )
        media_type = _media_type(told_type, data, digest, expect)
        return Descriptor(media_type, digest, len(data)), data

    def names(self, reference: str, top: Descriptor) -> bool:
        """Whether a tag or digest names exactly this here; no where it cannot be asked."""
        answer = self.request("HEAD", f"manifests/{reference}", self.push, headers=self.accept)
        answer.close()
        return answer.status == 200 and answer.header("Docker-Content-Digest") == top.digest

    def blob(self, descriptor: Descriptor, offset: int = 0) -> Answer:
        """Ask for a blob, from `offset` on where the server knows how. Raises as `manifest`.

        Returns:
            An answer of status 206, whose body begins at `offset`, or 200, the whole blob.
        """
        url = f"blobs/{descriptor.digest}"
        # Some servers know ranges that have an end alone, and answer 416 to others.
        for last in ("", str(descriptor.size - 1)) if offset else ():
            answer = self.request("GET", url, headers={"Range": f"bytes={offset}-{last}"})
            if answer.status == 200 or (answer.status == 206 and _begins_at(answer, offset)):
                return answer
            with answer:
                if answer.status not in _NO_RANGE:
                    raise self.refusal(answer, f"blob {descriptor.digest}")
        answer = self.request("GET", url)
        if answer.status != 200:
            with answer:
                raise self.refusal(answer, f"blob {descriptor.digest}")
        return answer

    def document(self, descriptor: Descriptor) -> bytes:
        """A small blob: a config. Size and digest are for the caller to check."""
        if descriptor.size > MAX_DOCUMENT:
            raise Refused(f"blob {descriptor.digest} exceeds the limit of {MAX_DOCUMENT} bytes")
        answer = self.request("GET", f"blobs/{descriptor.digest}")
        if answer.status != 200:
            with answer:
                raise self.refusal(answer, f"blob {descriptor.digest}")
        data = answer.document(MAX_DOCUMENT, f"blob {descriptor.digest}")
        if sha256(data) == descriptor.digest:
            return data
        return decoded(answer, data, MAX_DOCUMENT, f"blob {descriptor.digest}")

    def tags(self) -> list[str]:
        """All tags, in the registry's order. Raises NotFound."""
        found: list[str] = []
        what = f"the list of tags of {self.name}"
        for answer in pages(self, "tags/list", what):
            if answer.status != 200:
                with answer:
                    raise self.refusal(answer, f"repository {self.name}")
            value = json_object(answer.document(MAX_DOCUMENT, what))
            tags = value.get("tags") or []
            if not isinstance(tags, list) or not all(map(_is_tag, tags)):
                raise RegistryError(f"{self.name}: the list of tags is malformed")
            found += tags
            if len(found) > MAX_TAGS:
                raise RegistryError(f"{what} has more than {MAX_TAGS} tags")
        return list(dict.fromkeys(found))

    # Words

    def shown(self, reference: str) -> str:
        """`localhost:5000/app:1`, `localhost:5000/app@sha256:…`."""
        joint = "@" if ":" in reference else ":"
        return f"{self.name.removeprefix('docker.io/').removeprefix('library/')}{joint}{reference}"

    def refusal(self, answer: Answer, what: str) -> NotFound | RegistryError:
        """What a registry said no to, in one line of Docker's words."""
        why = reason(answer)
        if answer.host != place_of(self.registry.base):
            why = f"{answer.host}, where it redirects to, answers: {why}"
        if answer.status == 404:
            return NotFound(f"{what} not found: {why}")
        if answer.status in (401, 403):
            denied = (
                f"access denied for {self.name}, repository does not exist or may require"
                f" 'casstore login': {why}"
            )
            return Unauthorized("; ".join((denied, *self.registry.problems)))
        return RegistryError(f"{self.registry.domain} refuses {what}: {why}")


def _begins_at(answer: Answer, offset: int) -> bool:
    import re

    given = re.fullmatch(_RANGE, answer.header("Content-Range").strip().lower())
    return given is not None and int(given[1]) == offset


def _is_tag(value: object) -> bool:
    return isinstance(value, str) and is_tag(value)


def _media_type(told: str, data: bytes, digest: Digest, expect: str) -> str:
    """The type of a manifest: what the server says must be what led to it (CVE-2021-41190).

    That the document agrees is checked where it is parsed.
    """
    media_type = told.partition(";")[0].strip().lower()
    if media_type in _NO_TYPE:
        own = json_object(data).get("mediaType")
        media_type = expect or (own if isinstance(own, str) else "")
    if expect and media_type != expect:
        raise Refused(
            f"manifest {digest} is named as {quote(expect)},"
            f" but the registry sends it as {quote(media_type)}"
        )
    return media_type
