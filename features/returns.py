"""Returns: what came back."""

from features.vocabulary import WINDOWS, Measure

__all__ = ["MEASURES"]

MEASURES = (
    Measure("refunds", "returns", "total", "currency", "sum of net_amount of return lines", of="net", windows=WINDOWS),
    Measure("return_orders", "returns", "distinct", "count", "orders brought back", of="order_id", windows=(90, 365)),
    Measure("returned_units", "returns", "total", "units", "sum of quantity of return lines", of="quantity", windows=(365,)),
    Measure("refund_share", "returns", "ratio", "ratio", "refunds / spend", over=("refunds", "spend"), windows=(365, None)),
    Measure("return_order_share", "returns", "ratio", "ratio", "orders brought back / orders",
            over=("return_orders", "orders"), windows=(365,)),
    Measure("days_since_last_return", "returns", "since_last", "days", "days since goods last came back"),
)  # fmt: skip
