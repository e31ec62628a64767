"""The endpoints under ``/v1``: each holds a request against its type, calls one function, and answers."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field, RootModel, ValidationError, create_model
from pydantic.json_schema import models_json_schema
from pydantic_core import from_json
from starlette.routing import Match

from features.incoming import instant_of
from serving.access import RIGHTS, Access
from serving.api import (
    FACTS,
    MOST_FACTS,
    DecideRequest,
    FactKind,
    InlineCustomer,
    Reported,
    ScoreRequest,
    read_facts,
)
from serving.batching import Together
from serving.deciding import Deciding
from serving.live import Live, now_us
from serving.problems import Problem, install
from serving.store import Incoming

__all__ = ["create_app", "start"]

_SCORED_TOGETHER = 64
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]

_router = APIRouter()


def create_app() -> FastAPI:
    """Return the app; ``start`` gives it what it works with."""
    app = FastAPI(
        title="Patron",
        summary="Fresh scores, decisions and customer views.",
        version="1",
        docs_url=None,
        redoc_url=None,
    )
    install(app)
    app.include_router(_router)
    for kind in FACTS.values():
        _add_report(app, kind)
    app.add_api_route("/{path:path}", _nothing, methods=_METHODS, include_in_schema=False)
    _describe(app)
    return app


def start(app: FastAPI, live: Live, access: Access) -> None:
    """Give the app what it works with."""
    app.state.access, app.state.live, app.state.deciding = access, live, Deciding(live)
    app.state.scores = Together(live.score, _SCORED_TOGETHER)


def _allowed(right: str) -> Any:
    """Return a dependency that lets keys with this right pass."""

    async def check(request: Request) -> None:
        role = request.app.state.access.role(request.headers.get("authorization"))
        if role is None:
            raise Problem(401, "no valid key: send `Authorization: Bearer KEY`")
        if right not in RIGHTS[role]:
            raise Problem(403, f"the role {role} may not {right}")

    return Depends(check)


async def _read(request: Request, model: type[BaseModel]) -> Any:
    """Hold the body against its type."""
    try:
        given = from_json(await request.body(), allow_inf_nan=False)
    except ValueError as problem:
        raise Problem(400, f"the body is no JSON: {problem}") from problem
    try:
        return model.model_validate(given)
    except ValidationError as problem:
        errors = [
            {"where": ".".join(map(str, error["loc"])), "what": error["msg"]}
            for error in problem.errors(include_url=False, include_context=False, include_input=False)
        ]
        first = errors[0]
        raise Problem(
            422, f"{first['where'] or 'the body'}: {first['what']}", errors=errors[:20]
        ) from problem


def _request_name(kind: FactKind) -> str:
    return f"{kind.name.capitalize()}Request"


def _body(name: str) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{name}"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


@_router.post("/score", dependencies=[_allowed("score")], openapi_extra=_body("ScoreRequest"))
async def score(request: Request) -> Response:
    """Score customers by id, or by facts given with the request and not kept; one row each, in their order."""
    asked: ScoreRequest = await _read(request, ScoreRequest)
    if (asked.customer_ids is None) == (asked.customers is None):
        raise Problem(422, "say whom to score: either customer_ids, or customers with their facts")
    live: Live = request.app.state.live
    if asked.customer_ids is not None:
        rows = await request.app.state.scores.answer(asked.customer_ids) if asked.customer_ids else []
    else:
        rows = await run_in_threadpool(_score_inline, live, asked.customers or [])
    return JSONResponse({"scores": rows})


@_router.post("/decide", dependencies=[_allowed("decide")], openapi_extra=_body("DecideRequest"))
async def decide(request: Request) -> Response:
    """Choose the next best offer for a customer, or nobody's; ``commit`` reserves its place under the caps."""
    asked: DecideRequest = await _read(request, DecideRequest)
    return JSONResponse(await run_in_threadpool(request.app.state.deciding.decide, asked))


@_router.get("/customers/{customer_id:path}", dependencies=[_allowed("read")])
def customer(customer_id: str, request: Request) -> Response:
    """Show who a customer is, what they did, how they score and why."""
    return JSONResponse(request.app.state.deciding.view(customer_id))


def _nothing(request: Request) -> Response:
    if any(route.matches(request.scope)[0] is Match.PARTIAL for route in request.app.routes):
        raise Problem(405, f"{request.method} is not for this path: see /v1/openapi.json")
    raise Problem(404, "there is nothing at this path: see /v1/openapi.json")


def _add_report(app: FastAPI, kind: FactKind) -> None:
    @app.post(
        f"/{kind.name}", name=f"report_{kind.name}", dependencies=[_allowed("report")], openapi_extra=_body(_request_name(kind)),
        response_model=Reported, description=f"Take {kind.name} in, each once by its source and id.",
    )  # fmt: skip
    async def report(request: Request) -> Response:
        given = await _read(request, _FactsBody)
        items = given.root.get(kind.name)
        if set(given.root) != {kind.name} or not isinstance(items, list):
            raise Problem(
                422, f'the body must be {{"{kind.name}": [...]}}, got {", ".join(given.root) or "nothing"}'
            )
        if len(items) > MOST_FACTS:
            raise Problem(
                413,
                f"{len(items):,} {kind.name} in one request, {MOST_FACTS:,} are the most: send them in parts",
            )
        reported, only_conflicts = await run_in_threadpool(request.app.state.live.report, kind, items)
        if items and not reported.accepted and not reported.duplicates:
            detail = (
                f"none of {len(items)} {kind.name} was taken in; the first: {reported.rejected[0].detail}"
            )
            raise Problem(409 if only_conflicts else 422, detail, **reported.model_dump())
        return JSONResponse(reported.model_dump())


class _FactsBody(RootModel[dict[str, Any]]):
    """Facts under their name."""


def _score_inline(live: Live, customers: list[InlineCustomer]) -> list[dict[str, Any]]:
    """Hold the facts given with each customer against their contracts; any mistake refuses the request."""
    now, given = instant_of(now_us()), {}
    for place, one in enumerate(customers):
        facts: list[Incoming] = []
        for name, kind in FACTS.items():
            items = [
                {"customer_id": one.customer_id, **item} if isinstance(item, dict) else item
                for item in getattr(one, name)
            ]
            good, rejected = read_facts(kind, items, now, live.publication.currency)
            if rejected:
                raise Problem(422, f"customers.{place}.{name}.{rejected[0].index}: {rejected[0].detail}")
            if len({(fact.source, fact.key) for _, fact in good}) < len(good):
                raise Problem(422, f"customers.{place}.{name}: the same id is given twice")
            facts += [fact for _, fact in good]
        if one.customer_id in given:
            raise Problem(422, f"customers.{place}: {one.customer_id!r} is given twice")
        given[one.customer_id] = facts
    return live.score_inline(given)


def _describe(app: FastAPI) -> None:
    """Add the request types and the key to the OpenAPI description: bodies are read by ``_read``, not by FastAPI."""
    bodies: list[type[BaseModel]] = [ScoreRequest, DecideRequest]
    for kind in FACTS.values():
        items = (Annotated[list[kind.model], Field(max_length=MOST_FACTS)], ...)  # type: ignore[name-defined]
        fields: dict[str, Any] = {kind.name: items}
        bodies.append(create_model(_request_name(kind), **fields))
    _, schemas = models_json_schema(
        [(body, "validation") for body in bodies], ref_template="#/components/schemas/{model}"
    )
    made = app.openapi

    def openapi() -> dict[str, Any]:
        described = made()
        parts = described.setdefault("components", {})
        parts.setdefault("schemas", {}).update(schemas["$defs"])
        parts["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        described["security"] = [{"key": []}]
        return described

    app.openapi = openapi  # type: ignore[method-assign]
