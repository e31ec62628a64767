"""The BentoML service: wiring only. ``/v1`` is one ASGI app; ``predict`` takes ready feature rows."""

import os
from typing import Any

import bentoml
from prometheus_client import Histogram, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from serving.access import Access
from serving.live import Live
from serving.middleware import Guard, Limit, Timed
from serving.ready import check_rows, predict_rows
from serving.routes import create_app, start
from serving.settings import port, store_url
from serving.store import Store

__all__ = ["Patron"]

app = create_app()
_SECONDS = Histogram(
    name="patron_request_seconds",
    documentation="Requests under /v1 by route, method and status",
    labelnames=["route", "method", "status"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0),
)


def _observe(route: str, method: str, status: int, seconds: float) -> None:
    _SECONDS.labels(route=route, method=method, status=str(status)).observe(seconds)


app.add_middleware(Timed, observe=_observe)


def _metrics(_: Request) -> Response:
    return Response(generate_latest(), media_type="text/plain; version=0.0.4")


def _index(_: Request) -> Response:
    """In place of BentoML's page, which loads a tracker."""
    return JSONResponse({"service": "patron", "description": "/v1/openapi.json"})


def _access() -> Access:
    return Access.parse(os.environ.get("PATRON_API_KEYS"))


@bentoml.service(
    name="patron",
    workers=1,
    traffic={"timeout": 30},
    http={"port": port()},
    # a line a request, and a span nobody collects, cost more than a score; problems are logged all the same
    logging={"access": {"enabled": False}},
    # BentoML's own metrics name every path, and a path may name a customer
    metrics={"enabled": False},
)
@bentoml.asgi_app(Starlette(routes=[Route("/", _index), Route("/metrics", _metrics)]), path="/")
@bentoml.asgi_app(app, path="/v1")
class Patron:
    """Scores, decisions and customer views from the store that ``PATRON_STORE`` names."""

    def __init__(self) -> None:
        self._live = Live(Store(store_url()))
        start(app, self._live, _access())

    @bentoml.api(batchable=True, max_batch_size=1000)  # type: ignore[untyped-decorator]
    def predict(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Predict from ready feature rows, each a mapping of every feature to a number or null."""
        return predict_rows(rows, self._live)

    def __is_ready__(self) -> bool:
        return self._live.is_ready()


Patron.add_asgi_middleware(Guard, paths={"/predict": "score"}, access=_access)  # type: ignore[attr-defined]
Patron.add_asgi_middleware(Limit, checks={"/predict": check_rows})  # type: ignore[attr-defined]
