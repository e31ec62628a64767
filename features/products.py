"""Products: how broad the purchases are."""

from features.vocabulary import WINDOWS, Measure

__all__ = ["MEASURES"]

MEASURES = (
    Measure(
        "distinct_products", "lines", "distinct", "count", "products bought", of="product", windows=WINDOWS
    ),
    Measure(
        "distinct_categories",
        "lines",
        "distinct",
        "count",
        "categories bought",
        of="category",
        windows=WINDOWS,
    ),
    Measure(
        "top_category_share",
        "lines",
        "top_share",
        "ratio",
        "largest category's share of spend",
        of="net",
        by="category",
        windows=(365,),
    ),
)
