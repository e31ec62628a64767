"""The service as it runs: built by BentoML, served from an empty folder, asked over the network."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from features.build import build
from features.catalogue import names
from serving.live import now_us
from tests.serving.shops import an_order, fresh_store

ROOT = Path(__file__).parents[2]
KEY = "network-secret"


def ask(port, path, body=None, key=KEY):
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read().decode()
            return answer.status, json.loads(text) if text.startswith(("{", "[")) else text
    except urllib.error.HTTPError as problem:
        return problem.code, problem.read().decode()


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture(scope="module")
def bento(tmp_path_factory):
    """A built Bento: its tag, and the folder it is kept in."""
    home = tmp_path_factory.mktemp("bentos")
    env = {**os.environ, "BENTOML_HOME": str(home)}
    command = [sys.executable, "-m", "bentoml", "build", "--output", "tag"]
    built = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    tag = next(
        line.removeprefix("__tag__:") for line in built.stdout.splitlines() if line.startswith("__tag__:")
    )
    return tag, home


@pytest.fixture(scope="module")
def served(bento, shop, tmp_path_factory):
    """The built Bento, served from an empty folder where no file of the repository is in reach."""
    tag, home = bento
    folder, empty = tmp_path_factory.mktemp("network"), tmp_path_factory.mktemp("empty")
    store, _ = fresh_store(shop, folder)
    port = free_port()
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {
        "BENTOML_HOME": str(home), "PATRON_STORE": f"sqlite:///{folder}/store.db", "PATRON_API_KEYS": f"crm:{KEY}",
    }  # fmt: skip
    command = [sys.executable, "-m", "bentoml", "serve", tag, "--port", str(port)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=empty, env=env, stdout=log, stderr=log, start_new_session=True
        )
        try:
            deadline = time.monotonic() + 120
            while not answers(port):
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.2)
            yield port
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)
            store.close()


def answers(port):
    try:
        return ask(port, "/readyz")[0] == 200
    except OSError:
        return False


@pytest.mark.slow
def test_from_an_order_posted_to_a_score_that_counts_it(served, shop):
    frame = build(shop.warehouse, [shop.as_of], population="active-365d")
    who = frame[frame["days_since_last_order"].between(100, 200)]["customer_id"].iloc[0]
    _, before = ask(served, "/v1/score", {"customer_ids": [who]})
    status, reported = ask(served, "/v1/orders", {"orders": [an_order(who, now_us() - 1_000_000)]})
    assert (status, reported["accepted"]) == (200, 1)
    _, after = ask(served, "/v1/score", {"customer_ids": [who]})
    assert after["scores"][0]["churn_probability"] < before["scores"][0]["churn_probability"]
    status, decided = ask(served, "/v1/decide", {"customer_id": who, "commit": True})
    assert (status, decided["committed"]) == (200, True)
    assert ask(served, f"/v1/customers/{who}")[1]["features"]["orders_30d"] >= 1


@pytest.mark.slow
def test_bentos_own_endpoints(served, shop):
    assert ask(served, "/livez")[0] == 200
    assert ask(served, "/") == (200, {"service": "patron", "description": "/v1/openapi.json"})
    ask(served, "/v1/customers/somebody-secret")
    status, text = ask(served, "/metrics")
    assert status == 200
    assert 'route="/customers/{customer_id:path}"' in text
    assert "somebody-secret" not in text
    frame = build(shop.warehouse, [shop.as_of], population="active-365d").head(3)
    rows = [{n: None if row[n] != row[n] else row[n] for n in names()} for row in frame.to_dict("records")]
    assert ask(served, "/predict", {"rows": rows}, key="wrong-key-1")[0] == 401
    status, found = ask(served, "/predict", {"rows": [rows[0], {"orders_all": 1}, rows[1]]})
    assert status == 200
    assert 0 < found[0]["churn_probability"] < 1
    assert "lacks" in found[1]["error"]
    assert (
        ask(served, "/predict", {"rows": rows[:1]})[1][0]["churn_probability"]
        == found[0]["churn_probability"]
    )
    assert ask(served, "/v1/score", {"customer_ids": []}, key="wrong-key-1")[0] == 401
    assert ask(served, "/predict", {"rows": ["x" * 10_000_000]})[0] == 413


REFUSALS = {
    "no key": ({"PATRON_API_KEYS": ""}, "PATRON_API_KEYS"),
    "no store": ({"PATRON_STORE": "sqlite:///nowhere/store.db"}, "patron publish"),
    "no port": ({"PATRON_PORT": "high"}, "PATRON_PORT"),
}


@pytest.mark.parametrize(("change", "named"), REFUSALS.values(), ids=REFUSALS)
def test_the_command_refuses_to_start_and_says_why(patron, monkeypatch, tmp_path, change, named):
    monkeypatch.chdir(tmp_path)
    for name, value in (
        {"PATRON_API_KEYS": f"crm:{KEY}", "PATRON_STORE": "sqlite:///store.db"} | change
    ).items():
        monkeypatch.setenv(name, value)
    done = patron("serve")
    assert done.code == 2
    assert named in done.err
    assert len(done.err.splitlines()) == 1
