"""Patron's service beside a bare BentoML API and ``mlflow models serve``: fresh scores a second at 8 connections.

Usage: python experiments/service/run.py [--quick] [--out FOLDER]

Each has one worker and takes its turn alone, in rounds; ratios are of the same round. Writes ``results.json`` and
``RESULTS.md``, beside this file unless told otherwise.
"""

import argparse
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import lightgbm as lgb
import mlflow
import numpy as np
import pandas as pd

from features import Warehouse, build, ingest_tables
from features.catalogue import names
from features.sources.simulate import generate
from serving.publish import publish
from serving.store import Store
from training.registry import Registry
from training.workflow import train_and_register

HERE = Path(__file__).parent
KEY = "benchmark-secret"
CONNECTIONS, CUSTOMERS, SEED = 8, 5000, 7


def prepare(folder, customers):
    """A made-up retailer up to today, its models, its store, and requests for each contender."""
    end = np.datetime64(datetime.now(UTC).date())
    generate(folder / "retailer", customers, 730, end, SEED)
    warehouse, registry = Warehouse(folder / "w.duckdb"), Registry(folder)
    ingest_tables(warehouse, folder / "retailer" / "tables")
    registered = train_and_register(warehouse, pd.Timestamp(end), registry, pictures=folder).registered
    store = Store(f"sqlite:///{folder}/store.db", create=True)
    now = pd.Timestamp(datetime.now(UTC)).tz_localize(None).as_unit("us")
    publish(warehouse, store, registered.models, now, model=registered.name, model_version=registered.version)
    store.close()
    frame = build(warehouse, [now], population="active-365d")
    rows = frame[list(names())].astype(object).where(frame[list(names())].notna(), None).to_numpy().tolist()
    booster = registered.models.churn.trees
    booster.save_model(folder / "churn.txt")
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
    signature = mlflow.models.infer_signature(frame[list(names())].astype(np.float64))
    mlflow.lightgbm.save_model(
        lgb.Booster(model_file=folder / "churn.txt"), str(folder / "as_mlflow"), signature=signature
    )
    keyed = {"authorization": f"Bearer {KEY}"}
    ids = frame["customer_id"].to_list()[:500]
    events = len(ids) and (frame["orders_all"].mean(), frame["views_30d"].mean())
    return {
        "Patron": [{"path": "/v1/score", "headers": keyed, "body": {"customer_ids": [i]}} for i in ids],
        "bare BentoML": [{"path": "/predict", "headers": {}, "body": {"rows": [row]}} for row in rows[:500]],
        "mlflow models serve": [
            {
                "path": "/invocations",
                "headers": {},
                "body": {"dataframe_split": {"columns": list(names()), "data": [row]}},
            }
            for row in rows[:500]
        ],
    }, {"customers": len(frame), "mean_orders": round(float(events[0]), 1)}


def commands(folder, port):
    # mlflow looks for uvicorn on the path
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    own = {"PATH": path, "BENTOML_HOME": str(folder / "bentoml"), "OMP_NUM_THREADS": "1"}
    python, env = sys.executable, {**os.environ, **own}
    bento = [python, "-m", "bentoml", "serve"]
    return {
        "Patron": (
            [*bento, "serving.service:Patron", "--port", str(port)],
            {**env, "PATRON_STORE": f"sqlite:///{folder}/store.db", "PATRON_API_KEYS": f"crm:{KEY}"}, "/readyz",
        ),
        "bare BentoML": (
            [*bento, "bare:Bare", "--port", str(port), "--working-dir", str(HERE)],
            {**env, "BARE_MODEL": str(folder / "churn.txt")}, "/readyz",
        ),
        "mlflow models serve": (
            [python, "-m", "mlflow", "models", "serve", "-m", str(folder / "as_mlflow"), "--env-manager", "local",
             "--workers", "1", "--port", str(port), "--host", "127.0.0.1"],
            env, "/health",
        ),
    }  # fmt: skip


@contextmanager
def served(command, env, health, port, log):
    with log.open("ab") as said:
        process = subprocess.Popen(command, env=env, stdout=said, stderr=said, start_new_session=True)
        try:
            wait_for(f"http://127.0.0.1:{port}{health}", process, log)
            yield
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def wait_for(url, process, log):
    for _ in range(600):
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
        if process.poll() is not None:
            break
    sys.exit(f"no answer at {url}:\n{log.read_text()[-3000:]}")


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def load(port, requests, seconds):
    done = subprocess.run(
        [sys.executable, HERE / "load.py", str(port), str(CONNECTIONS), str(seconds)], input=json.dumps(requests),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def page(record):
    lines = [
        "# Fresh scores over HTTP", "",
        f"Written by `python experiments/service/run.py` on {record['machine']}. One worker, {CONNECTIONS} connections, one "
        f"customer a request, {record['seconds']} s a turn, {record['rounds']} rounds; the load comes from the same machine. "
        f"{record['world']['customers']:,} active customers of a made-up retailer with {record['world']['mean_orders']} orders each.", "",
        "Patron reads the customer's packed history and open facts, runs the kernel and predicts churn and timing; the other two "
        "predict churn from features handed to them.", "",
        "| | requests a second | p50 ms | p99 ms | requests a second, Patron / it (range) | p99, Patron / it |",
        "| --- | --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    patron = record["turns"]["Patron"]
    for name, turns in record["turns"].items():
        rate, p50, p99 = (
            median(turn[key] for turn in turns) for key in ("requests_per_second", "p50_ms", "p99_ms")
        )
        pairs = list(zip(patron, turns, strict=True))
        faster = [mine["requests_per_second"] / its["requests_per_second"] for mine, its in pairs]
        slower = [mine["p99_ms"] / its["p99_ms"] for mine, its in pairs]
        lines.append(
            f"| {name} | {rate:,.0f} | {p50:.1f} | {p99:.1f} | {median(faster):.2f} ({min(faster):.2f}-{max(faster):.2f}) | "
            f"{median(slower):.2f} |"
        )
    lines += ["", f"Answers that were not 200: {record['failed']}."]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one short round, to see that it works")
    parser.add_argument("--out", type=Path, default=HERE)
    asked = parser.parse_args()
    rounds, seconds, customers = (1, 1.5, 1000) if asked.quick else (5, 8, CUSTOMERS)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        requests, world = prepare(folder, customers)
        turns = {name: [] for name in requests}
        for _ in range(rounds):
            for name in requests:
                port = free_port()
                command, env, health = commands(folder, port)[name]
                with served(command, env, health, port, folder / "server.log"):
                    load(port, requests[name], 1)  # warm
                    turns[name].append(load(port, requests[name], seconds))
                print(name, turns[name][-1], flush=True)
    record = {
        "machine": f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}",
        "rounds": rounds, "seconds": seconds, "world": world, "turns": turns,
        "failed": sum(turn["failed"] for every in turns.values() for turn in every),
    }  # fmt: skip
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "results.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (asked.out / "RESULTS.md").write_text(page(record), encoding="utf-8")
    print(page(record))


if __name__ == "__main__":
    main()
