"""Registries over the Engine API: pull, push, what a registry has, and logins tried out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from casstore.errors import CasstoreError, NotFound, RegistryError, UsageError
from casstore.flows.pull import DIGEST, PULLING, REFERRER
from casstore.model import mediatype
from casstore.model.imageconfig import parse_config
from casstore.model.manifest import Index, parse_document
from casstore.model.platform import Platform
from casstore.model.reference import DEFAULT_DOMAIN, familiar_name, parse_name
from casstore.registry.auth import Unauthorized
from casstore.registry.credentials import DOCKER_HUB
from casstore.registry.fetch import FETCHED
from casstore.registry.http import Transport
from casstore.registry.remote import Registry, Repository
from casstore.server.engine.call import json_answer, login_in
from casstore.server.engine.lines import counted, progress_lines, worded
from casstore.server.engine.naming import target_of
from casstore.server.engine.workshop import borrowed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from casstore.model.descriptor import Descriptor
    from casstore.progress import ProgressUpdate
    from casstore.registry.access import Access
    from casstore.registry.credentials import Login
    from casstore.results.exchange import PullResult
    from casstore.server.engine.call import Call
    from casstore.server.engine.lines import Tell
    from casstore.server.message import Response

_DOWNLOADING, _COMPLETE, _PUSHING = "Downloading", "Pull complete", "Pushing"


def pull(call: Call) -> Response:
    """POST /images/create?fromImage=…: an image, or every tag of a repository."""
    asked = call.argument("fromImage").removesuffix(":")
    parsed = parse_name(asked)
    name = target_of(asked, call.argument("tag"))
    every_tag = name == asked and ":" not in asked.rpartition("/")[2] and parsed.digest is None
    platform, login = call.plain_platform(), call.login()

    def work(tell: Tell) -> None:
        result = _pulled(call, name, every_tag=every_tag, platform=platform, login=login, tell=tell)
        news = "Downloaded newer image for" if result.is_news else "Image is up to date for"
        shown = familiar_name(parsed.repository) if every_tag else parse_name(name).familiar
        for warning in result.warnings:
            tell({"status": f"Warning: {warning}"})
        tell({"status": f"Status: {news} {shown}"})

    return progress_lines(work)


def _pulled(
    call: Call,
    name: str,
    *,
    every_tag: bool,
    platform: str | None,
    login: Login | None,
    tell: Tell,
) -> PullResult:
    """Pull from the first registry that has it."""

    def happened(what: str, to: str) -> None:
        line = _pull_line(what, to)
        if line is not None:
            tell(line)
            if to == FETCHED:
                tell(worded(_COMPLETE, line["id"]))

    def reached(update: ProgressUpdate) -> None:
        if update.item and update.done and not update.finished:
            tell(counted(_DOWNLOADING, update.item, update.done, update.total))

    with borrowed(call.store, progress=reached) as store:
        for transport in ways(call, name, login):
            with transport:
                try:
                    return store.pull(
                        name, platform=platform, all_tags=every_tag, via=transport, tell=happened
                    )
                except (NotFound, RegistryError) as error:
                    if not transport.mirror:
                        raise _as_dockerd(error, name) from None
    raise AssertionError


def ways(call: Call, name: str, login: Login | None) -> Iterator[Transport]:
    """How to reach the registry of a name: mirrors of docker.io first, as dockerd does."""
    access = _anonymous(call)
    if parse_name(name).repository.startswith(f"{DEFAULT_DOMAIN}/"):
        for mirror in call.options.mirrors:
            yield Transport(access, mirror=mirror)
    yield Transport(access, login=login)


def _anonymous(call: Call) -> Access:
    """How registries are reached, without the logins of this process's user."""
    return call.options.access._replace(auth_files=())


def _pull_line(what: str, to: str) -> dict[str, Any] | None:
    """What a pull tells, as a line of dockerd's."""
    if what.endswith(f": {PULLING}"):
        named = what.removesuffix(f": {PULLING}")
        return {"status": f"{PULLING} {to}", "id": named.partition("@")[2] or named}
    if what == f"{DIGEST}:":
        return {"status": f"{DIGEST}: {to}"}
    if what.startswith(REFERRER):
        return None
    return worded(to, what.removesuffix(":"))


def _as_dockerd(error: CasstoreError, name: str) -> CasstoreError:
    """A refusal in dockerd's words, where clients look for them."""
    repository = familiar_name(parse_name(name).repository)
    if isinstance(error, Unauthorized):
        return NotFound(
            f"pull access denied for {repository}, repository does not exist or may require"
            f" 'docker login': {error}"
        )
    return error


def push(call: Call) -> Response:
    """POST /images/{name}/push: a tag, or all of a repository."""
    tag, login = call.argument("tag"), call.login()
    name = target_of(call.name, tag)
    repository = parse_name(name).repository
    every_tag = not tag and ":" not in call.name.rpartition("/")[2]
    if not call.before(46) and call.platform() is not None:
        raise UsageError("casstore pushes an image with all of its platforms")

    def work(tell: Tell) -> None:
        # dockerd says so before it looks whether there is such an image.
        tell({"status": f"The push refers to repository [{repository}]"})

        def happened(what: str, to: str) -> None:
            short = what.removesuffix(":")
            if short != what and " " not in short:
                tell(worded(to, short))
            elif ": digest: " in what:
                tell({"status": f"{what} {to}"})

        def reached(update: ProgressUpdate) -> None:
            if update.item and update.done and not update.finished:
                tell(counted(_PUSHING, update.item, update.done, update.total))

        with borrowed(call.store, progress=reached) as store:
            with Transport(_anonymous(call), login=login) as transport:
                done = store.push(name, all_tags=every_tag, via=transport, tell=happened)
            for pushed in done:
                aux = {"Tag": pushed.name.tag, "Digest": pushed.digest, "Size": pushed.size}
                tell({"progressDetail": {}, "aux": aux})

    return progress_lines(work)


def distribution(call: Call) -> Response:
    """GET /distribution/{name}/json: what a registry has by a name, without pulling it."""
    name = parse_name(call.name)
    domain, _, path = name.repository.partition("/")
    asked = name.tag if name.digest is None else name.digest
    assert asked is not None
    for transport in ways(call, call.name, call.login()):
        with transport:
            try:
                repository = Repository(Registry(transport, domain), path)
                return json_answer(200, _described(repository, asked))
            except (NotFound, RegistryError) as error:
                if not transport.mirror:
                    raise _as_dockerd(error, call.name) from None
    raise AssertionError


def _described(repository: Repository, asked: str) -> dict[str, Any]:
    top, data = repository.manifest(asked)
    document = parse_document(data, top)
    if isinstance(document, Index):
        platforms = [entry.platform for entry in document.manifests]
    else:
        platforms = [_platform(repository, document.config.descriptor)] if document.config else []
    return {
        "Descriptor": {"mediaType": top.media_type, "digest": top.digest, "size": top.size},
        "Platforms": [_shape(platform) for platform in platforms if platform is not None],
    }


def _platform(repository: Repository, config: Descriptor) -> Platform | None:
    if not mediatype.is_config(config.media_type):
        return None
    found = parse_config(repository.document(config), config.digest)
    return Platform(found.os, found.architecture, found.variant)


def _shape(platform: Platform) -> dict[str, str]:
    shape = {"architecture": platform.architecture, "os": platform.os}
    return shape | ({"variant": platform.variant} if platform.variant else {})


def check_login(call: Call) -> Response:
    """POST /auth: whether a registry takes a login; nothing is kept."""
    given = call.document()
    login = login_in(given)
    if login is None:
        raise UsageError("no login is given")
    server = given.get("serveraddress")
    domain = _domain(server if isinstance(server, str) else "")
    with Transport(_anonymous(call), login=login) as transport:
        Registry(transport, domain).check_login()
    return json_answer(200, {"Status": "Login Succeeded", "IdentityToken": ""})


def _domain(server: str) -> str:
    """The domain of references that an address of a login means."""
    plain = server.strip()
    if not plain or plain == DOCKER_HUB:
        return DEFAULT_DOMAIN
    host = plain.partition("://")[2] or plain
    host = host.partition("/")[0].lower()
    return DEFAULT_DOMAIN if host == "index.docker.io" else host
