"""What stands before the endpoints, spoken to as a server speaks to it."""

import asyncio
import json

import pytest

from serving.access import RIGHTS, Access
from serving.middleware import MOST_BYTES, Guard, Limit, Timed

ACCESS = Access.parse(",".join(f"{role}:secret-of-{role}" for role in RIGHTS))
DISCONNECT = {"type": "http.disconnect"}


def scope_of(path="/v1/events", headers=(), kind="http"):
    return {"type": kind, "method": "POST", "path": path, "headers": list(headers)}


class Endpoint:
    """Reads its request to the end, notes the body and what comes after it, and answers 204."""

    def __init__(self):
        self.bodies, self.after = [], []

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            self.bodies.append(scope["type"])
            return
        message = await receive()
        assert message["more_body"] is False
        self.bodies.append(message["body"])
        self.after.append(await receive())
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def parts_of(*bodies):
    last = len(bodies) - 1
    return [
        {"type": "http.request", "body": body, "more_body": place < last} for place, body in enumerate(bodies)
    ]


def spoken(app, messages, scope=None):
    """Return (status, headers, body) of the answer, or None where there is none; and the messages never asked for."""
    left, sent = [*messages, DISCONNECT], []

    async def receive():
        return left.pop(0)

    async def send(message):
        sent.append(message)

    asyncio.run(app(scope or scope_of(), receive, send))
    if not sent:
        return None, left
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return (sent[0]["status"], headers, sent[1]["body"]), left


# Limit


@pytest.mark.parametrize(
    "bodies",
    [(b"",), (b"whole",), (b"in ", b"", b"parts"), (b"x" * MOST_BYTES,), (b"x" * (MOST_BYTES - 1), b"y"), (b"x" * MOST_BYTES, b"")],
    ids=["empty", "whole", "parts", "exactly the limit", "the limit in parts", "an empty part at the limit"],
)  # fmt: skip
def test_a_body_within_the_limit_arrives_whole_and_once(bodies):
    endpoint = Endpoint()
    (status, _, _), _ = spoken(Limit(endpoint), parts_of(*bodies))
    assert status == 204
    assert endpoint.bodies == [b"".join(bodies)]
    assert endpoint.after == [DISCONNECT]


@pytest.mark.parametrize(
    "bodies",
    [(b"x" * (MOST_BYTES + 1),), (b"x" * MOST_BYTES, b"y"), (b"x" * MOST_BYTES, b"y", b"z" * 10)],
    ids=["whole", "parts", "more to come"],
)
@pytest.mark.parametrize("length", [None, b"4000001", b"1"], ids=["chunked", "its length", "a false length"])
def test_a_longer_body_is_refused_once_it_was_read(bodies, length):
    endpoint = Endpoint()
    headers = [] if length is None else [(b"content-length", length)]
    (status, headers, body), left = spoken(Limit(endpoint), parts_of(*bodies), scope_of(headers=headers))
    assert status == 413
    assert headers["content-type"] == "application/problem+json"
    assert headers["connection"] == "close"
    assert "4,000,000 bytes: send it in parts" in json.loads(body)["detail"]
    assert (endpoint.bodies, left) == ([], [DISCONNECT])


def test_a_body_without_end_is_not_read_to_the_end():
    part = {"type": "http.request", "body": b"x" * 10_000_000, "more_body": True}
    (status, _, _), left = spoken(Limit(Endpoint()), [part] * 20)
    assert status == 413
    assert len(left) == 14  # 7 of 20 parts pass 64 MB; the disconnect is left too


@pytest.mark.parametrize(
    "before", [(), (b"half",), (b"x" * (MOST_BYTES + 1),)], ids=["at once", "midway", "too long"]
)
def test_who_hangs_up_gets_no_answer_and_reaches_nothing(before):
    endpoint = Endpoint()
    messages = [{"type": "http.request", "body": body, "more_body": True} for body in before]
    assert spoken(Limit(endpoint), messages) == (None, [])
    assert endpoint.bodies == []


def test_a_message_without_a_body_is_an_empty_one():
    endpoint = Endpoint()
    spoken(Limit(endpoint), [{"type": "http.request"}])
    assert endpoint.bodies == [b""]


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
def test_what_is_no_request_passes(kind):
    endpoint, told = Endpoint(), []
    app = Limit(
        Guard(
            Timed(endpoint, observe=lambda *words: told.append(words)),
            paths={"/metrics": "read"},
            access=lambda: ACCESS,
        )
    )
    spoken(app, [], scope_of("/metrics", kind=kind))
    assert (endpoint.bodies, told) == ([kind], [])


# Guard


def guarded(path, key=None, right="decide"):
    endpoint = Endpoint()
    headers = [] if key is None else [(b"authorization", key)]
    app = Guard(endpoint, paths={"/metrics": right}, access=lambda: ACCESS)
    (status, headers, body), _ = spoken(app, parts_of(b""), scope_of(path, headers))
    assert (status == 204) == bool(endpoint.bodies)
    return status, headers, json.loads(body or "{}")


@pytest.mark.parametrize(
    ("path", "status"),
    [("/metrics", 401), ("/metrics/", 401), ("/metrics//", 401), ("/", 204), ("", 204), ("/metricsx", 204), ("/v1/metrics", 204), ("/metrics/x", 204)],
)  # fmt: skip
def test_which_paths_want_a_key(path, status):
    assert guarded(path)[0] == status


@pytest.mark.parametrize(
    "key",
    [
        None,
        b"",
        b"Bearer",
        b"Bearer secret-of-nobody",
        b"Basic secret-of-crm",
        b"Bearer \xff\xfe",
        b"\xe4\xbd\xa0",
    ],
)
def test_no_valid_key(key):
    status, headers, problem = guarded("/metrics", key)
    assert (status, headers["www-authenticate"], headers["content-type"]) == (
        401,
        "Bearer",
        "application/problem+json",
    )
    assert "Authorization: Bearer KEY" in problem["detail"]
    assert "secret-of" not in str(problem)


@pytest.mark.parametrize("right", ["score", "decide", "report", "read"])
@pytest.mark.parametrize("role", RIGHTS)
def test_a_key_opens_what_its_role_may(role, right):
    status, _, problem = guarded("/metrics/", f"Bearer secret-of-{role}".encode(), right)
    assert status == (204 if right in RIGHTS[role] else 403)
    assert problem.get("detail") == (None if status == 204 else f"the role {role} may not {right}")


# Timed


def test_each_request_is_told_by_route_and_not_by_path():
    told = []

    class Route:
        path = "/v1/customers/{customer_id}"

    scope = scope_of("/v1/customers/ann") | {"route": Route()}
    spoken(Timed(Endpoint(), observe=lambda *words: told.append(words)), parts_of(b""), scope)
    spoken(Timed(Endpoint(), observe=lambda *words: told.append(words)), parts_of(b""))
    assert [words[:3] for words in told] == [(Route.path, "POST", 204), ("unknown", "POST", 204)]
    assert all(0 <= words[3] < 5 for words in told)


def test_a_request_that_fails_is_told_as_500_and_fails_still():
    told = []

    async def broken(*_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        spoken(Timed(broken, observe=lambda *words: told.append(words[:3])), [])
    assert told == [("unknown", "POST", 500)]
