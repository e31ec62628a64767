"""Browsing and carts."""

from features.vocabulary import Measure, only

__all__ = ["MEASURES"]

_VIEW, _CART = only(kind="view"), only(kind="cart_add")


def _events(name: str, kind: str, meaning: str, *windows: int) -> Measure:
    return Measure(name, "events", "count", "count", meaning, where=only(kind=kind), windows=windows)


MEASURES = (
    _events("views", "view", "product views", 7, 30, 90),
    _events("carts", "cart_add", "products put into the cart", 7, 30, 90),
    _events("cart_removals", "cart_remove", "products taken out of the cart", 30),
    _events("checkouts", "checkout", "checkouts begun", 30),
    _events("favourites", "favourite", "products marked as favourite", 30),
    _events("searches", "search", "searches", 30),
    _events("visits", "visit", "visits to a store", 30),
    Measure("browsing_days", "events", "distinct", "count", "distinct days with an event, in the warehouse's zone", of="day", windows=(30,)),
    Measure("sessions", "events", "distinct", "count", "browsing sessions", of="session", windows=(30,)),
    Measure("viewed_products", "events", "distinct", "count", "distinct products viewed", of="product", where=_VIEW,
            windows=(30,)),
    Measure("viewed_categories", "events", "distinct", "count", "distinct categories viewed", of="category", where=_VIEW,
            windows=(30,)),
    Measure("browsing_seconds", "events", "total", "seconds", "sum of the durations of events", of="duration", windows=(30,)),
    Measure("carts_per_view", "events", "ratio", "ratio", "products put into the cart / product views",
            over=("carts", "views"), windows=(30,)),
    Measure("days_since_last_event", "events", "since_last", "days", "days since the last event of any kind"),
    Measure("days_since_last_view", "events", "since_last", "days", "days since the last product view", where=_VIEW),
    Measure("days_since_last_cart", "events", "since_last", "days", "days since a product was last put into the cart",
            where=_CART),
)  # fmt: skip
