"""Basket: what one order looks like."""

from features.vocabulary import Measure

__all__ = ["MEASURES"]

MEASURES = (
    Measure("lines_per_order", "orders", "mean", "count", "mean number of lines of an order", of="lines", windows=(365,)),
    Measure("units_per_order", "orders", "mean", "units", "mean quantity of an order", of="quantity", windows=(365,)),
    Measure("products_per_order", "orders", "ratio", "ratio", "distinct products / orders",
            over=("distinct_products", "orders"), windows=(365,)),
    Measure("unit_price", "lines", "share_of_total", "currency", "spend / units of sale lines", of="net", by="quantity",
            windows=(365,)),
    Measure("single_line_share", "orders", "share", "ratio", "share of orders of one line", of="single_line", windows=(365,)),
    Measure("max_order_units", "orders", "maximum", "units", "largest quantity of an order", of="quantity", windows=(365,)),
    Measure("last_order_lines", "orders", "last", "count", "lines of the last order", of="lines"),
    Measure("last_order_units", "orders", "last", "units", "quantity of the last order", of="quantity"),
)  # fmt: skip
