"""Products: how broad the purchases are, and how much of them is the same again."""

from features.vocabulary import WINDOWS, Measure

__all__ = ["MEASURES"]

MEASURES = (
    Measure("distinct_products", "lines", "distinct", "count", "products bought", of="product", windows=WINDOWS),
    Measure("distinct_categories", "lines", "distinct", "count", "categories bought", of="category", windows=WINDOWS),
    Measure("top_category_share", "lines", "top_share", "ratio", "largest category's share of spend",
            of="net", by="category", windows=(365,)),
    Measure("top2_category_share", "lines", "top_share", "ratio", "two largest categories' share of spend",
            of="net", by="category", most=2, windows=(365,)),
    Measure("category_hhi", "lines", "hhi", "ratio",
            "Herfindahl-Hirschman index of spend by category: the sum of the squared shares", of="net", by="category",
            windows=(365,)),
    Measure("category_entropy", "lines", "entropy", "nats", "Shannon entropy of spend by category",
            of="net", by="category", windows=(365,)),
    Measure("distinct_brands", "lines", "distinct", "count", "brands bought", of="brand", windows=(365,)),
    Measure("top_brand_share", "lines", "top_share", "ratio", "largest brand's share of spend",
            of="net", by="brand", windows=(365,)),
    Measure("brand_hhi", "lines", "hhi", "ratio", "Herfindahl-Hirschman index of spend by brand", of="net", by="brand",
            windows=(365,)),
    Measure("repeat_line_share", "lines", "share", "ratio", "share of lines whose product had been bought in an earlier order",
            of="repeat", windows=(365,)),
)  # fmt: skip
