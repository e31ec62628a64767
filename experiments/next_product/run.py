"""Next products: train as of each origin, rank, and hold ten places against what was bought in the next 30 days.

Usage: PATRON_DATA=<folder of data sets> python experiments/next_product/run.py

Writes ``results.json`` and ``RESULTS.md`` beside this file.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from features import Warehouse, ingest_source, ingest_tables, instant
from features.sources.simulate import generate
from training.intervals import bootstrap_interval, paired_bootstrap
from training.products.candidates import Knowledge, read_knowledge
from training.products.features import HORIZON_DAYS
from training.products.fit import train_next_products
from training.products.habits import HALF_LIFE_DAYS
from training.products.metrics import hits, ndcg_at, recall_at
from training.products.predict import next_products
from training.targets import products_bought

HERE = Path(__file__).parent
ORIGINS = ("2011-07-24", "2011-09-10")
WORLD = {"customers": 4_000, "days": 730, "end": date(2024, 7, 1), "seed": 11}
SIMULATED = "2024-06-01"
PLACES, FAR = 10, 500
POPULAR = ("popular_30d", "popular_90d")


@dataclass(frozen=True)
class Shop:
    name: str
    warehouse: Warehouse
    origins: tuple[str, ...]


def main() -> None:
    if "PATRON_DATA" not in os.environ:
        sys.exit("PATRON_DATA is not set: it names the folder that holds online_retail_ii/")
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        origins = [judged(shop, origin) for shop in shops(Path(scratch)) for origin in shop.origins]
    record = {"origins": origins, "seconds": round(time.perf_counter() - started, 1)}
    (HERE / "results.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (HERE / "RESULTS.md").write_text(page(record), encoding="utf-8")
    print((HERE / "RESULTS.md").read_text(encoding="utf-8"))


def shops(scratch: Path) -> Iterator[Shop]:
    made_up = Warehouse(scratch / "simulated.duckdb")
    generate(scratch, **WORLD)
    ingest_tables(made_up, scratch / "tables")
    yield Shop("simulated retailer", made_up, (SIMULATED,))
    retail = Warehouse(scratch / "retail.duckdb")
    export = Path(os.environ["PATRON_DATA"]) / "online_retail_ii" / "online_retail_II.parquet"
    ingest_source(retail, "online-retail", export)
    yield Shop("Online Retail II", retail, ORIGINS)


def judged(shop: Shop, origin: str) -> dict[str, object]:
    """Judge the lists of those who had an order in the 365 days before the origin and bought in the 30 days after it."""
    print(f"{shop.name} {origin}", flush=True)
    at = instant(origin)
    begun = time.process_time()
    model = train_next_products(shop.warehouse, at)
    trained = time.process_time()
    everybody = next_products(model, shop.warehouse, at, most=PLACES)
    ranked = time.process_time()
    known = read_knowledge(shop.warehouse, at)
    bought = products_bought(shop.warehouse, at, HORIZON_DAYS)
    bought = bought[bought["customer_id"].isin(active(known))].reset_index(drop=True)
    who = bought["customer_id"].unique().tolist()
    far = next_products(model, shop.warehouse, at, who, most=FAR)
    return {
        "shop": shop.name,
        "origin": origin,
        "train_seconds": round(trained - begun, 1),
        "rank_seconds": round(ranked - trained, 1),
        "ranked_customers": int(everybody["customer_id"].nunique()),
        "products": len(known.popularity),
        "forward": dict(model.card.metrics),
        "scopes": {
            scope: scope_record(known, who, far, bought, new=scope == "new") for scope in ("all", "new")
        },
        "reasons": shares(far[far["rank"] <= PLACES], bought),
    }


def active(known: Knowledge) -> np.ndarray:
    lines = known.history.lines
    return known.history.customers[np.unique(lines.customer[(lines.customer >= 0) & (lines.days <= 365)])]


def scope_record(
    known: Knowledge, who: list[str], far: pd.DataFrame, bought: pd.DataFrame, *, new: bool
) -> dict[str, object]:
    """Figures of all lists in one scope; in the new one, products that a customer had bought stand on no list."""
    owned = owned_pairs(known)
    lists = {"patron": far, **simple_lists(known, who)}
    if new:
        bought = without(bought, owned)
        lists = {name: without(lists[name], owned) for name in ("patron", *POPULAR)}
    lists = {name: one.assign(rank=one.groupby("customer_id").cumcount() + 1) for name, one in lists.items()}
    found = {name: hits(one, bought, PLACES) for name, one in lists.items()}
    reached, relevant = hits(lists["patron"], bought, FAR)
    record: dict[str, object] = {
        "customers": len(relevant),
        "bought": float(relevant.mean()),
        "candidate_recall": float(recall_at(reached, relevant).mean()),
    }
    for figure, of in (("recall", recall_at), ("ndcg", ndcg_at)):
        values = {name: of(*one) for name, one in found.items()}
        record[figure] = {name: interval(value) for name, value in values.items()}
        record[f"{figure}_gain"] = {
            name: gain(values["patron"], values[name]) for name in lists if name != "patron"
        }
    return record


def owned_pairs(known: Knowledge) -> pd.MultiIndex:
    pairs = known.products.orders.tocoo()
    return pd.MultiIndex.from_arrays(
        [known.history.customers[pairs.row], known.history.goods.product_id[pairs.col]]
    )


def without(frame: pd.DataFrame, owned: pd.MultiIndex) -> pd.DataFrame:
    there = pd.MultiIndex.from_frame(frame[["customer_id", "product_id"]]).isin(owned)
    return frame[~there].reset_index(drop=True)


def simple_lists(known: Knowledge, who: list[str]) -> dict[str, pd.DataFrame]:
    """What is popular, what the customer bought most often (ties: most lately), and favourites with what is popular below."""
    rows = pd.Index(known.history.customers).get_indexer(who)
    popular = {days: popularity(known, days) for days in (30.0, 90.0)}
    orders = known.products.orders[rows].toarray()
    recent = known.products.recent[rows].toarray()
    often = orders + 0.5 * recent / np.maximum(recent.max(axis=1, keepdims=True), 1e-300)
    scores = {
        "popular_30d": np.broadcast_to(popular[30.0], orders.shape),
        "popular_90d": np.broadcast_to(popular[90.0], orders.shape),
        "favourites": often,
        "favourites_then_popular": np.where(orders > 0, 1.0 + orders, 0.0) + 0.5 * popular[30.0],
        "recent_then_popular": np.where(orders > 0, 1.0 + recent, popular[30.0]),
    }
    return {name: listed(known, who, score) for name, score in scores.items()}


def popularity(known: Knowledge, days: float) -> np.ndarray:
    lines = known.history.lines
    count = np.bincount(lines.product[lines.days <= days], minlength=len(known.popularity)).astype(np.float64)
    return count / max(count.max(), 1.0)


def listed(known: Knowledge, who: list[str], score: np.ndarray) -> pd.DataFrame:
    """The best ``FAR`` of each row, without what scores nothing."""
    most = min(FAR, score.shape[1])
    best = np.argsort(-score, axis=1, kind="stable")[:, :most]
    row, place = np.nonzero(np.take_along_axis(score, best, axis=1) > 0)
    return pd.DataFrame(
        {
            "customer_id": np.asarray(who)[row],
            "rank": place + 1,
            "product_id": known.history.goods.product_id[best[row, place]],
        }
    )


def shares(top: pd.DataFrame, bought: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Of each reason: how many of the places it fills, and how many of these were bought."""
    pairs = pd.MultiIndex.from_frame(bought[["customer_id", "product_id"]])
    hit = pd.MultiIndex.from_frame(top[["customer_id", "product_id"]]).isin(pairs)
    grouped = pd.Series(hit).groupby(top["reason"].to_numpy())
    return {
        str(reason): {"share": len(one) / len(top), "bought": float(one.mean())} for reason, one in grouped
    }


def mean(_: np.ndarray, values: np.ndarray) -> float:
    return float(values.mean())


def interval(values: np.ndarray) -> dict[str, float]:
    return asdict(bootstrap_interval(lambda v: float(v.mean()), [values], np.random.default_rng(1)))


def gain(ours: np.ndarray, theirs: np.ndarray) -> dict[str, object]:
    found = paired_bootstrap(mean, np.zeros(len(ours)), ours, theirs, np.random.default_rng(1))
    return {**asdict(found), "is_tie": found.is_tie}


def page(record: dict[str, object]) -> str:
    scopes = "\n\n".join(
        f"### {title}\n\n{table(record['origins'], scope)}"
        for scope, title in (("all", "All products"), ("new", "Products new to the customer"))
    )
    return f"""# The next products

Written by `experiments/next_product/run.py`; do not edit. Population: an order in the 365 days before the origin, and one
product or more (in its scope) bought in the {HORIZON_DAYS} days after it. Nothing at or after the origin was known. Recall@{PLACES}: share of what
was bought that stands on the first {PLACES} places; who buys more than {PLACES} products cannot reach 1. Brackets: 95 % bootstrap interval
over customers. Gain: Patron's figure minus that list's on the same customers, with its bootstrap standard error; within one of them it
is a tie.

Lists: what most orders held in the last 30 and 90 days; the customer's favourites (most orders, ties by recency); favourites, and below
them what is popular (30 days, which decides ties, too); the same with orders halved every {HALF_LIFE_DAYS:g} days. Among new products favourites
are no list, and popular products below them are what is popular.

{scopes}

## Reach and reasons

{reach(record["origins"])}

Share of the places that each reason fills on the lists of those judged, and of these places how many were bought:

{reasons(record["origins"])}

## Speed

Seconds of processor time, reading the warehouse included. Training also fits a second model for the figures in its card.

{speed(record["origins"])}

All of this took {record["seconds"]} s.
"""


def table(origins: list[dict], scope: str) -> str:
    lines = [
        "| shop, origin | list | n | recall@10 | gain | NDCG@10 | gain |", "| --- | --- | ---: |" + " ---: |" * 4,
    ]  # fmt: skip
    for one in origins:
        found = one["scopes"][scope]
        for name in found["recall"]:
            cells = " | ".join(
                f"{shown(found[figure][name])} | {gained(found[f'{figure}_gain'].get(name))}"
                for figure in ("recall", "ndcg")
            )
            lines.append(f"| {one['shop']}, {one['origin']} | {name} | {found['customers']:,} | {cells} |")
    return "\n".join(lines)


def shown(found: dict[str, float]) -> str:
    return f"{found['estimate']:.4f} [{found['low']:.3f}, {found['high']:.3f}]"


def gained(found: dict | None) -> str:
    if found is None:
        return ""
    return f"{found['estimate']:+.4f} {'(tie)' if found['is_tie'] else '± {:.4f}'.format(found['standard_error'])}"


def reach(origins: list[dict]) -> str:
    lines = [
        "| shop, origin | products | bought a customer | candidates hold of it | new | candidates hold of it |",
        "| --- |" + " ---: |" * 5,
    ]
    for one in origins:
        both = " | ".join(f"{s['bought']:.1f} | {s['candidate_recall']:.3f}" for s in one["scopes"].values())
        lines.append(f"| {one['shop']}, {one['origin']} | {one['products']:,} | {both} |")
    return "\n".join(lines)


def reasons(origins: list[dict]) -> str:
    names = sorted({name for one in origins for name in one["reasons"]})
    lines = [f"| shop, origin | {' | '.join(names)} |", "| --- |" + " ---: |" * len(names)]
    for one in origins:
        cells = [
            f"{found['share']:.3f}, {found['bought']:.3f}" if (found := one["reasons"].get(name)) else ""
            for name in names
        ]
        lines.append(f"| {one['shop']}, {one['origin']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def speed(origins: list[dict]) -> str:
    lines = [
        "| shop, origin | training | customers | ranking them all, ten places each |",
        "| --- |" + " ---: |" * 3,
    ]
    lines += [
        f"| {one['shop']}, {one['origin']} | {one['train_seconds']} | {one['ranked_customers']:,} | {one['rank_seconds']} |"
        for one in origins
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
