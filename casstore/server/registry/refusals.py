"""Errors as the distribution API tells them: a code of its list, a message, a status.

Source: OCI distribution-spec 1.1, "Error Codes".
"""

from __future__ import annotations

from casstore.errors import CasstoreError
from casstore.server.message import Response

BLOB_UNKNOWN = "BLOB_UNKNOWN"
BLOB_UPLOAD_INVALID = "BLOB_UPLOAD_INVALID"
BLOB_UPLOAD_UNKNOWN = "BLOB_UPLOAD_UNKNOWN"
DENIED = "DENIED"
DIGEST_INVALID = "DIGEST_INVALID"
MANIFEST_BLOB_UNKNOWN = "MANIFEST_BLOB_UNKNOWN"
MANIFEST_INVALID = "MANIFEST_INVALID"
MANIFEST_UNKNOWN = "MANIFEST_UNKNOWN"
NAME_INVALID = "NAME_INVALID"
NAME_UNKNOWN = "NAME_UNKNOWN"
SIZE_INVALID = "SIZE_INVALID"
TOO_MANY_REQUESTS = "TOOMANYREQUESTS"
UNAUTHORIZED = "UNAUTHORIZED"
UNKNOWN = "UNKNOWN"
UNSUPPORTED = "UNSUPPORTED"

# What is told where only a status is known.
_CODES = {
    401: UNAUTHORIZED,
    403: DENIED,
    404: NAME_UNKNOWN,
    408: SIZE_INVALID,
    413: SIZE_INVALID,
    421: DENIED,
    429: TOO_MANY_REQUESTS,
    500: UNKNOWN,
    503: TOO_MANY_REQUESTS,
    507: UNKNOWN,
}

RETRY_AFTER = "5"  # seconds, where the store was locked for long, or the server is about to end


class ApiError(CasstoreError):
    """A request that is refused, or cannot be met, in the API's own words."""

    def __init__(
        self, status: int, code: str, message: str, *, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.headers = status, code, headers


def refusal(error: ApiError) -> Response:
    """The answer that tells it."""
    return _answer(error.status, error.code, str(error), error.headers)


def failure(status: int, message: str) -> Response:
    """An answer that says what went wrong, where only a status is known of it."""
    again = (("Retry-After", RETRY_AFTER),) if status == 503 else ()
    return _answer(status, _CODES.get(status, UNSUPPORTED), message, again)


def _answer(status: int, code: str, message: str, headers: tuple[tuple[str, str], ...]) -> Response:
    errors = {"errors": [{"code": code, "message": message}]}
    return Response.of_json(status, errors, headers)
