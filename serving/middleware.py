"""What stands before every endpoint: a limit to bodies, the clock, and the key for what is not under ``/v1``."""

import time
from collections.abc import Callable, Mapping

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.access import RIGHTS, Access
from serving.problems import answer

__all__ = ["MOST_BYTES", "Guard", "Limit", "Timed"]

Observe = Callable[[str, str, int, float], None]

MOST_BYTES = 4_000_000
"""Of a request's body."""

_MOST_READ = 64_000_000
"""A longer body is read to its end, if that comes by then: who is still sending does not hear the refusal."""


class Limit:
    """ASGI middleware that refuses bodies of more than ``MOST_BYTES``, whether or not they say how long they are.

    Parameters
    ----------
    checks
        Path -> what tells what is wrong with a body, where nobody behind does so without writing it into a log.
    """

    def __init__(
        self, app: ASGIApp, *, checks: Mapping[str, Callable[[bytes], str | None]] | None = None
    ) -> None:
        self._app, self._checks = app, checks or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body, and pass it on if nothing is wrong with it."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        body = await _read(receive)
        if body is None:  # the caller has gone
            return None
        refusal = self._refusal(scope, body)
        if refusal is not None:
            return await refusal(scope, receive, send)
        whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replayed() -> Message:
            return whole.pop() if whole else await receive()

        return await self._app(scope, replayed, send)

    def _refusal(self, scope: Scope, body: bytes) -> JSONResponse | None:
        if len(body) > MOST_BYTES:
            detail = f"the body is longer than {MOST_BYTES:,} bytes: send it in parts"
            return answer(413, detail, {"Connection": "close"})
        check = self._checks.get(scope["path"].rstrip("/"))
        if check is None or scope["method"] != "POST":
            return None
        kind = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
        if b"json" not in kind:
            return answer(415, "send JSON, and say so: Content-Type: application/json")
        wrong = check(body)
        return None if wrong is None else answer(422, wrong)


async def _read(receive: Receive) -> bytes | None:
    """Return the body, of one that is too long a part that is too long as well; None when the caller has gone."""
    body, seen, more = bytearray(), 0, True
    while more and seen <= _MOST_READ:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        part = message.get("body", b"")
        seen, more = seen + len(part), message.get("more_body", False)
        if len(body) <= MOST_BYTES:
            body += part[: MOST_BYTES + 1 - len(body)]
    return bytes(body)


class Guard:
    """ASGI middleware that asks for a key with a right on some paths.

    Parameters
    ----------
    paths
        Path -> right.
    access
        Gives the keys.
    """

    def __init__(self, app: ASGIApp, *, paths: Mapping[str, str], access: Callable[[], Access]) -> None:
        self._app, self._paths, self._access = app, paths, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on if its key has the right."""
        right = self._paths.get(scope["path"].rstrip("/")) if scope["type"] == "http" else None
        if right is not None:
            header = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
            role = self._access().role(header.decode("latin-1"))
            if role is None:
                refusal = answer(
                    401, "no valid key: send `Authorization: Bearer KEY`", {"WWW-Authenticate": "Bearer"}
                )
                return await refusal(scope, receive, send)
            if right not in RIGHTS[role]:
                return await answer(403, f"the role {role} may not {right}")(scope, receive, send)
        return await self._app(scope, receive, send)


class Timed:
    """ASGI middleware that tells how long each request took, by route: a path may name a customer.

    Parameters
    ----------
    observe
        Told route, method, status and seconds.
    """

    def __init__(self, app: ASGIApp, *, observe: Observe) -> None:
        self._app, self._observe = app, observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and take the time."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        begun, status = time.perf_counter(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            route = getattr(scope.get("route"), "path", "unknown")
            self._observe(route, scope["method"], status, time.perf_counter() - begun)
