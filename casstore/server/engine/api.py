"""The Docker Engine API: a request in, a response out.

Versions are negotiated by the path, errors have one shape, `{"message": ...}`, and what is not
served is said in one line. Source: the API's reference and its version history, dockerd 20.10.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from casstore.errors import CasstoreError
from casstore.server.engine.call import Call, json_answer
from casstore.server.engine.failures import Forbidden, failed
from casstore.server.engine.routes import route_for
from casstore.server.engine.versions import LATEST, text_of, versioned

if TYPE_CHECKING:
    from casstore.server.engine.options import EngineOptions
    from casstore.server.message import Request, Response
    from casstore.store import Store


def failure(status: int, message: str) -> Response:
    """An answer that says what went wrong before the API was asked, or in spite of it."""
    return json_answer(status, {"message": message})


def answer(request: Request, store: Store, options: EngineOptions) -> Response:
    """Answer a call of the Engine API."""
    try:
        version, path = versioned(request.path)
        route, parts = route_for(request.method, path, version)
        if route.changes and options.read_only:
            raise Forbidden("this server only reads its store")
        response = route.handler(Call(request, store, options, version, parts))
    except CasstoreError as error:
        response = failed(error)
    response.headers += (
        ("Api-Version", text_of(LATEST)),  # by these, clients know whom they talk to
        ("Docker-Experimental", "false"),
        ("Ostype", "linux"),
        ("Server", f"casstore/{options.release} (linux)"),
    )
    return response
