"""The answer to a registry that asks who we are: Basic, or a bearer token for the scopes needed.

Source: distribution-spec's token authentication (docs: "Token Authentication Specification", and
the OAuth2 form of it for identity tokens). Tokens live in memory, for as long as the command. The
realm is the server's choice: credentials go there over TLS alone, except on this machine, or to
the registry itself where the user asked for plain HTTP; and nowhere from there.
"""

from __future__ import annotations

from casstore.errors import RegistryError, quote
from casstore.registry.address import HTTPS, is_loopback, place_of, resolve, split
from casstore.registry.documents import reason
from casstore.registry.failures import BrokenConnection
from casstore.startup import RLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.registry.challenge import Challenge
    from casstore.registry.credentials import Login
    from casstore.registry.http import Transport

MAX_TOKEN = 1 << 20
CLIENT_ID = "casstore"

Scopes = frozenset[str]


class Unauthorized(RegistryError):
    """The login is missing, wrong, or not enough."""


class Authorizer:
    """What one registry is told, found out once for all threads."""

    def __init__(
        self,
        transport: Transport,
        domain: str,
        login: Login | None = None,
        *,
        is_mirror: bool = False,
    ) -> None:
        """`login`, or that of the transport, stands for what the files say.

        That of the transport is for the registry that is meant, and not for a mirror of it.
        """
        self._transport = transport
        self._domain = domain
        if login is None and transport.login is not None and not is_mirror:
            from casstore.registry.credentials import Login

            login = Login(*transport.login)
        self._given = login
        self._logins: dict[str, Login | None] = {}
        self._challenge: Challenge | None = None
        self._headers: dict[Scopes, str] = {}
        self._more: dict[Scopes, Scopes] = {}  # what the registry wants instead of, or besides
        self._guard = RLock()
        self.problems: list[str] = []  # why a login may be missing

    def header(self, base: str, scopes: Scopes, repository: str) -> str | None:
        """The `Authorization` to send without being asked, once the registry has asked once."""
        with self._guard:
            if self._challenge is None:
                return None
            if scopes not in self._headers:
                self._fetch(base, scopes, repository)
            return self._headers.get(scopes)

    def after_refusal(
        self, challenges: list[str], base: str, scopes: Scopes, repository: str, sent: str | None
    ) -> str | None:
        """Another `Authorization` to try after a 401; None if there is none.

        Args:
            challenges: the values of `WWW-Authenticate`.
            sent: what was refused.
        """
        from casstore.registry.challenge import parse_challenges

        found = {c.scheme: c for c in reversed(parse_challenges(challenges))}
        with self._guard:
            current = self._headers.get(scopes)
            if current is not None and current != sent:
                return current  # another thread was quicker
            self._challenge = found.get("bearer") or found.get("basic")
            if self._challenge is None:
                return None
            if sent is not None:
                # A token for what the path says was not enough: a gateway calls the repository by
                # another name, and its challenge says which.
                wanted = frozenset(self._challenge.parameters.get("scope", "").split())
                self._more[scopes] = wanted - scopes
            self._headers.pop(scopes, None)
            self._fetch(base, scopes, repository)
            fresh = self._headers.get(scopes)
            if fresh == sent and self._challenge.scheme == "basic":
                return None
            return fresh

    def _fetch(self, base: str, scopes: Scopes, repository: str) -> None:
        challenge = self._challenge
        assert challenge is not None
        login = self._login(repository)
        if challenge.scheme == "bearer":
            self._headers[scopes] = "Bearer " + self._token(challenge, base, scopes, login)
        elif login is not None and login.password and self._may_tell(base, base):
            self._headers[scopes] = login.basic

    def _login(self, repository: str) -> Login | None:
        if self._given is not None:
            return self._given
        if repository not in self._logins:
            from casstore.registry.credentials import find_login

            files = self._transport.access.logins
            self._logins[repository] = find_login(files, self._domain, repository, self._problem)
        return self._logins[repository]

    def _problem(self, text: str) -> None:
        """A login could not be looked for, or not be used: told, and what goes without it goes."""
        if text not in self.problems:
            self.problems.append(text)
        self._transport.notice(text)

    def _may_tell(self, url: str, base: str) -> bool:
        """Whether a secret may be sent to `url`."""
        there, here = place_of(url), place_of(base)
        plain_by_wish = self._transport.access.plain_http and there == here
        return split(url).scheme == HTTPS or is_loopback(there) or plain_by_wish

    def _token(self, challenge: Challenge, base: str, scopes: Scopes, login: Login | None) -> str:
        realm = challenge.parameters.get("realm", "")
        if not realm:
            raise RegistryError(f"{self._domain} asks for a token, and not from where")
        realm = resolve(base + "/", realm)
        if login is not None and not self._may_tell(realm, base):
            self._problem(
                f"the login for {self._domain} is not told to {place_of(realm)}: over plain HTTP"
                " everybody could read it"
            )
            login = None
        service = challenge.parameters.get("service", "")
        more = self._more.get(scopes, frozenset())
        own = scopes or frozenset(challenge.parameters.get("scope", "").split())
        refusal: RegistryError | None = None
        for wanted in dict.fromkeys((own | more, more or own, own)):
            try:
                return self._ask(realm, service, sorted(wanted), login)
            except BrokenConnection:
                raise
            except RegistryError as error:  # some servers refuse all for one scope of several
                refusal = refusal or error
        assert refusal is not None
        raise refusal

    def _ask(self, realm: str, service: str, wanted: list[str], login: Login | None) -> str:
        from urllib.parse import urlencode

        host = place_of(realm)
        if login is not None and login.identity_token:
            fields = {
                "grant_type": "refresh_token",
                "service": service,
                "client_id": CLIENT_ID,
                "scope": " ".join(wanted),
                "refresh_token": login.identity_token,
            }
            answer = self._transport.request(
                "POST", realm, body=_Form(urlencode(fields).encode()), secret_body=True,
                headers={"Content-Type": "application/x-www-form-urlencoded"},
            )  # fmt: skip
        else:
            query = [("service", service)] if service else []
            query += [("scope", scope) for scope in wanted]
            if login is not None:
                query.insert(0, ("account", login.user))
            joint = "&" if "?" in realm else "?"
            answer = self._transport.request(
                "GET", realm + joint + urlencode(query, errors="replace") if query else realm,
                authorization=login.basic if login is not None else None,
            )  # fmt: skip
        if answer.status == 200:
            return _token_in(answer.document(MAX_TOKEN, f"the token of {quote(host)}"), host)
        with answer:
            why = reason(answer)
        server = f"{self._domain}: the token server {host}"
        if answer.status == 401:
            raise Unauthorized("; ".join((f"{server} refuses the login: {why}", *self.problems)))
        if answer.status == 403:
            raise Unauthorized("; ".join((f"{server} denies the access: {why}", *self.problems)))
        raise RegistryError(f"{server} gives no token: {why}")


class _Form:
    def __init__(self, data: bytes) -> None:
        self.size = len(data)
        self._data = data

    def pieces(self) -> list[bytes]:
        return [self._data]


def _token_in(data: bytes, host: str) -> str:
    import json

    try:
        value = json.loads(data)
        token = value.get("token") or value.get("access_token")
    except (ValueError, AttributeError, RecursionError):
        token = None
    if not isinstance(token, str) or not token or not (token.isascii() and token.isprintable()):
        raise RegistryError(f"the token server {host} sent no token")
    return token
