"""Ask a server the same kind of thing over and over from several connections, and take the times.

Usage: python load.py PORT CONNECTIONS SECONDS < requests   (JSON: a list of {"path", "headers", "body"})

Prints JSON: requests a second, milliseconds at the 50th and 99th percentile, and how many answers were not 200.
A raw client over sockets: one that costs more than the server would measure itself.
"""

import asyncio
import json
import sys
import time

import uvloop


def encoded(port, request):
    body = json.dumps(request["body"]).encode()
    lines = [f"POST {request['path']} HTTP/1.1", f"host: 127.0.0.1:{port}", "content-type: application/json"]
    lines += [f"{name}: {value}" for name, value in request["headers"].items()]
    lines += [f"content-length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


async def answer(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head[9:12])
    lines = head.lower().split(b"\r\n")
    length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
    await reader.readexactly(length)
    return status


async def ask(port, requests, first, step, until, times, failed):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    turn = first
    while time.perf_counter() < until:
        begun = time.perf_counter()
        writer.write(requests[turn % len(requests)])
        if await answer(reader) != 200:
            failed.append(turn)
        times.append(time.perf_counter() - begun)
        turn += step
    writer.close()


async def measure(port, connections, seconds, given):
    requests, times, failed = [encoded(port, request) for request in given], [], []
    begun = time.perf_counter()
    await asyncio.gather(
        *(ask(port, requests, n, connections, begun + seconds, times, failed) for n in range(connections))
    )
    passed, ordered = time.perf_counter() - begun, sorted(times)
    at = lambda share: round(1e3 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)  # noqa: E731
    return {
        "requests_per_second": round(len(times) / passed, 1), "p50_ms": at(0.5), "p99_ms": at(0.99), "requests": len(times),
        "failed": len(failed),
    }  # fmt: skip


if __name__ == "__main__":
    port, connections, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    print(json.dumps(uvloop.run(measure(port, connections, seconds, json.load(sys.stdin)))))
