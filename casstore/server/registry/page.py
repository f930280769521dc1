"""The page for a browser: the report of the store, as it is now."""

from __future__ import annotations

import threading

from casstore.clock import current_time
from casstore.queries.inventory import take_inventory
from casstore.report.page import page_of
from casstore.server.message import Response
from casstore.server.registry.call import Call
from casstore.store.reportedlayers import with_layers

_one_at_a_time = threading.Lock()  # it looks at everything


def get_page(call: Call) -> Response:
    """GET of /."""
    session = call.store.session
    with _one_at_a_time:
        inventory = take_inventory(session.backend, session.view(), current_time())
        content = page_of(with_layers(session, inventory, read=False)).encode()
    headers = [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Cache-Control", "no-store"),
        ("Content-Security-Policy", "frame-ancestors 'none'"),
        ("X-Content-Type-Options", "nosniff"),
    ]
    return Response(200, headers, content)
