"""The registry: which request goes where, in one table, and errors in the API's own form.

Source: OCI distribution-spec 1.1. A handler gets a `Call` and returns a `Response`; it raises
`ApiError`, or any other CasstoreError. HEAD goes where GET goes, and may leave the body out.
"""

from __future__ import annotations

from collections.abc import Callable

from casstore.errors import Conflict, NotFound, Refused, Unsupported
from casstore.server.message import BrokenBody, Request, Response
from casstore.server.registry.blobs import get_blob
from casstore.server.registry.call import Call
from casstore.server.registry.lists import get_catalog, get_referrers, get_tags
from casstore.server.registry.manifests import get_manifest
from casstore.server.registry.options import RegistryOptions
from casstore.server.registry.page import get_page
from casstore.server.registry.pushes import delete_manifest, put_manifest
from casstore.server.registry.refusals import (
    DENIED,
    MANIFEST_UNKNOWN,
    UNSUPPORTED,
    ApiError,
    failure,
    refusal,
)
from casstore.server.registry.repository import Repository, repository_of
from casstore.server.registry.uploads import (
    delete_upload,
    get_upload,
    patch_upload,
    post_upload,
    put_upload,
)
from casstore.store import Store

__all__ = ["answer", "failure"]

VERSION = ("Docker-Distribution-Api-Version", "registry/2.0")

# What a path can be of.
PAGE, BASE, CATALOG = "page", "base", "catalog"
TAGS, MANIFEST, BLOB, REFERRERS = "tags", "manifest", "blob", "referrers"
UPLOADS, UPLOAD = "uploads", "upload"  # where uploads begin; one of them


def get_base(_call: Call) -> Response:
    """GET of /v2/: whether this is a registry, and whether the login is right."""
    return Response.of_json(200, {})


ROUTES: dict[tuple[str, str], Callable[[Call], Response]] = {
    (PAGE, "GET"): get_page,
    (BASE, "GET"): get_base,
    (CATALOG, "GET"): get_catalog,
    (TAGS, "GET"): get_tags,
    (MANIFEST, "GET"): get_manifest,
    (BLOB, "GET"): get_blob,
    (REFERRERS, "GET"): get_referrers,
    (UPLOADS, "POST"): post_upload,
    (UPLOAD, "GET"): get_upload,
    (UPLOAD, "PATCH"): patch_upload,
    (UPLOAD, "PUT"): put_upload,
    (UPLOAD, "DELETE"): delete_upload,
    (MANIFEST, "PUT"): put_manifest,
    (MANIFEST, "DELETE"): delete_manifest,
}
_NO_REPOSITORY = Repository("", "")


def answer(request: Request, store: Store, options: RegistryOptions) -> Response:
    """Answer one request."""
    try:
        response = _route(request, store, options)
    except ApiError as error:
        response = refusal(error)
    except BrokenBody as error:
        response = failure(error.status, str(error))
    except NotFound as error:
        response = refusal(ApiError(404, MANIFEST_UNKNOWN, str(error)))
    except Conflict as error:
        response = refusal(ApiError(409, DENIED, str(error)))
    except (Refused, Unsupported) as error:
        response = failure(400, str(error))
    response.headers.append(VERSION)
    return response


def _route(request: Request, store: Store, options: RegistryOptions) -> Response:
    kind, path, word = parse_path(request.path)
    method = "GET" if request.method == "HEAD" else request.method
    handler = ROUTES.get((kind, method))
    if handler is None:
        allowed = sorted(own for of, own in ROUTES if of == kind)
        if not allowed:
            raise ApiError(404, UNSUPPORTED, f"there is nothing at {request.path}")
        raise ApiError(
            405, UNSUPPORTED, f"{request.method} is not supported here",
            headers=(("Allow", ", ".join(allowed)),),
        )  # fmt: skip
    if options.read_only and method != "GET":
        raise ApiError(405, UNSUPPORTED, "this registry is read-only")
    repository = _NO_REPOSITORY
    if path:
        repository = repository_of(path, request.argument("ns"), options.default_host)
    return handler(Call(request, store, options, repository, word))


def parse_path(path: str) -> tuple[str, str, str]:
    """What a path is of, with its repository and its last word, "" where it has none."""
    if path == "/":
        return PAGE, "", ""
    if path in ("/v2", "/v2/"):
        return BASE, "", ""
    if path == "/v2/_catalog":
        return CATALOG, "", ""
    if not path.startswith("/v2/"):
        return "", "", ""
    parts = path[4:].split("/")
    last, before = parts[-1], parts[-2] if len(parts) > 1 else ""
    name = "/".join(parts[:-2])
    kind = ""
    if before == "tags" and last == "list":
        kind, last = TAGS, ""
    elif before == "manifests":
        kind = MANIFEST
    elif before == "referrers":
        kind = REFERRERS
    elif before == "uploads" and parts[-3:-2] == ["blobs"]:
        kind, name = UPLOAD if last else UPLOADS, "/".join(parts[:-3])
    elif before == "blobs":
        kind, last = (UPLOADS, "") if last == "uploads" else (BLOB, last)
    return (kind, name, last) if kind and name else ("", "", "")
