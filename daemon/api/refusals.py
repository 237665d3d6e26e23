"""How every path answers what it does not serve."""

from collections.abc import Mapping
from typing import Any

from fastapi.responses import JSONResponse
from pydantic import BaseModel

_MEANINGS = {
    400: "What was sent cannot be used; says why.",
    401: "Credentials are needed, or were wrong.",
    403: "Refused to pages of other sites.",
    404: "There is no such thing.",
    409: "Not now; says why.",
    413: "The body is too large.",
    422: "A parameter or the body is not of its form.",
    429: "This client has asked too often, or failed to log in; `Retry-After` says for how many seconds to wait.",
    503: "Cannot be served now.",
}
_ANYWHERE = (401, 413, 429, 503)


class ErrorDocument(BaseModel):
    """What is wrong, and more of it."""

    error: str
    detail: str


def error_answer(status: int, error: str, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return an error as every path answers it."""
    return JSONResponse({"error": error, "detail": detail}, status, headers)


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return ``statuses``, and those that every path but the health checks can have, for the OpenAPI document."""
    return {
        status: {"model": ErrorDocument, "description": _MEANINGS[status]} for status in sorted({*_ANYWHERE, *statuses})
    }
