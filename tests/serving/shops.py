"""A published shop, and facts to report about it."""

import pandas as pd

from features.incoming import instant_of
from serving.live import Live, now_us
from serving.publish import publish
from serving.store import Store

__all__ = ["an_event", "an_order", "fresh_store", "iso"]


def iso(at):
    """Microseconds as ISO 8601."""
    return instant_of(at).isoformat()


def an_order(customer_id, at, **more):
    """An order for 90.00; its id is its time."""
    line = {
        "line_id": "1", "product_id": "p0001", "quantity": 1, "gross_amount": 100, "discount_amount": 10, "net_amount": 90,
    }  # fmt: skip
    return {
        "order_id": f"o{at}", "customer_id": customer_id, "paid_at": iso(at), "channel": "web", "lines": [line], **more,
    }  # fmt: skip


def an_event(customer_id, at, **more):
    """A view; its id is its time."""
    return {
        "event_id": f"e{at}", "customer_id": customer_id, "at": iso(at), "kind": "view", "channel": "web", **more,
    }  # fmt: skip


def fresh_store(shop, folder):
    """The shop published to a store of its own, and what serves from it."""
    store = Store(f"sqlite:///{folder}/store.db", create=True)
    registered = shop.registered
    now = pd.Timestamp(now_us(), unit="us").as_unit("us")
    publish(
        shop.warehouse, store, registered.models, now, model=registered.name, model_version=registered.version
    )
    return store, Live(store)
