"""The BentoML service: wiring only. ``/v1`` is one ASGI app; ``predict`` takes ready feature rows."""

import os
from typing import Any

import bentoml

from serving.access import Access
from serving.live import Live
from serving.middleware import Guard, Limit
from serving.ready import predict_rows
from serving.routes import create_app, start
from serving.settings import port, store_url
from serving.store import Store

__all__ = ["Patron"]

app = create_app()


def _access() -> Access:
    return Access.parse(os.environ.get("PATRON_API_KEYS"))


@bentoml.service(
    name="patron",
    workers=1,
    traffic={"timeout": 30},
    http={"port": port()},
    # a line a request, and a span nobody collects, cost more than a score; problems are logged all the same
    logging={"access": {"enabled": False}},
    metrics={"enabled": True},
)
@bentoml.asgi_app(app, path="/v1")
class Patron:
    """Scores, decisions and customer views from the store that ``PATRON_STORE`` names."""

    def __init__(self) -> None:
        self._live = Live(Store(store_url()))
        start(app, self._live, _access())

    @bentoml.api(batchable=True, max_batch_size=1000)
    def predict(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Predict from ready feature rows, each a mapping of every feature to a number or null."""
        return predict_rows(rows, self._live)

    def __is_ready__(self) -> bool:
        return self._live.is_ready()


Patron.add_asgi_middleware(Guard, paths={"/predict": "score"}, access=_access)
Patron.add_asgi_middleware(Limit)
