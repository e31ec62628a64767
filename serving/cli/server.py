"""The service as a process of its own, for the demo: started, waited for, asked, stopped."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from features.errors import ServiceFailed

__all__ = ["Server", "served"]

_START_S = 90


class Server:
    """A running service.

    Parameters
    ----------
    port, key
        Where it answers, and to whom.
    """

    def __init__(self, port: int, key: str) -> None:
        self.base, self._key = f"http://127.0.0.1:{port}", key

    def ask(self, path: str, body: object | None = None) -> Any:
        """Return the answer to a GET, or to a POST of this body.

        Raises
        ------
        ServiceFailed
            The answer is an error.
        """
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.base}{path}", data, headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as problem:
            raise ServiceFailed(
                f"{path} answered {problem.code}: {problem.read().decode()[:500]}"
            ) from problem

    def is_ready(self) -> bool:
        """Tell whether it answers yet."""
        with suppress(OSError), urllib.request.urlopen(f"{self.base}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
        return False


@contextmanager
def served(store: str, key: str, log: Path) -> Iterator[Server]:
    """Run the service on a free port, with a key for the CRM, until the block ends.

    Raises
    ------
    ServiceFailed
        It did not answer within a minute and a half; its log says why.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {
        **os.environ,
        "PATRON_API_KEYS": f"crm:{key}",
        "BENTOML_HOME": str(log.parent / "bentoml"),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "serving.cli", "serve", "--store", store, "--port", str(port)]
    with log.open("wb") as said:
        process = subprocess.Popen(command, env=env, stdout=said, stderr=said, start_new_session=True)
        try:
            server = Server(port, key)
            _wait(server, process, log)
            yield server
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait(server: Server, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        if server.is_ready():
            return
        time.sleep(0.1)
    raise ServiceFailed(f"the service did not start; {log} says: {log.read_text(errors='replace')[-600:]}")
