"""Errors as problem details (RFC 9457): what went wrong, where, and what to do."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from features.errors import ContractError, InputError, StoreUnavailable

__all__ = ["Problem", "answer", "install"]

_LOG = logging.getLogger(__name__)
_MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """An answer other than success.

    Parameters
    ----------
    status
        HTTP's.
    detail
        What, where, and what to do, in one sentence.
    more
        Further members of the answer.
    """

    def __init__(self, status: int, detail: str, **more: Any) -> None:
        super().__init__(detail)
        self.status, self.detail, self.more = status, detail, more


def answer(status: int, detail: str, headers: Mapping[str, str] | None = None, **more: Any) -> JSONResponse:
    """Return a problem as a response."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        **more,
    }
    return JSONResponse(body, status, headers=headers, media_type=_MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Let the app answer all deliberate errors as problem details."""

    @app.exception_handler(Problem)
    def problem(_: Request, error: Problem) -> JSONResponse:
        headers = {"WWW-Authenticate": "Bearer"} if error.status == HTTPStatus.UNAUTHORIZED else None
        return answer(error.status, error.detail, headers, **error.more)

    @app.exception_handler(HTTPException)
    def http(_: Request, error: HTTPException) -> JSONResponse:
        return answer(error.status_code, str(error.detail), error.headers)

    @app.exception_handler(InputError)
    def mistake(_: Request, error: InputError) -> JSONResponse:
        return answer(422, str(error))

    @app.exception_handler(StoreUnavailable)
    def unavailable(_: Request, error: StoreUnavailable) -> JSONResponse:
        _LOG.warning("%s", error)  # where the store is, is not the caller's to know
        return answer(503, "the store does not answer: try again in a moment", {"Retry-After": "5"})

    @app.exception_handler(ContractError)
    def mismatch(_: Request, error: ContractError) -> JSONResponse:
        _LOG.error("%s", error)
        return answer(
            503,
            "what was published does not fit this service: it must be started anew",
            {"Retry-After": "60"},
        )

    @app.exception_handler(Exception)
    def fault(_: Request, __: Exception) -> JSONResponse:
        return answer(500, "a fault of the service; it stands in its log")
