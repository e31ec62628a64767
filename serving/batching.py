"""Requests that wait while others are computed are computed together: one pass of the kernel costs little more for eight.

Unlike a general batcher this one knows that its items are customers and instants only: no caller's context is in it, and
a batch that fails is tried again request by request, so that one bad request spoils no other.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Generic, TypeVar

__all__ = ["Together"]

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_PATIENCE_S = 0.004


class Together(Generic[Item, Answer]):
    """Answers requests of many items each in one thread, those that wait together.

    Parameters
    ----------
    compute
        Answers any number of items, in their order.
    most
        Items in one pass; a larger request goes alone.
    """

    def __init__(self, compute: Callable[[Sequence[Item]], Sequence[Answer]], most: int) -> None:
        self._compute, self._most = compute, most
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="score")
        self._waiting: list[tuple[Sequence[Item], asyncio.Future[Sequence[Answer]]]] = []
        self._working: asyncio.Task[None] | None = None
        self._together = 1
        self._enough = asyncio.Event()

    async def answer(self, items: Sequence[Item]) -> Sequence[Answer]:
        """Return the answers of one request."""
        future: asyncio.Future[Sequence[Answer]] = asyncio.get_running_loop().create_future()
        self._waiting.append((items, future))
        if len(self._waiting) >= self._together:
            self._enough.set()
        if self._working is None:
            self._working = asyncio.create_task(self._work())
        return await future

    def close(self) -> None:
        """Let the thread end."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        taken: list[tuple[Sequence[Item], asyncio.Future[Sequence[Answer]]]] = []
        try:
            while self._waiting:
                await self._gather()
                taken = self._take()
                self._together = len(taken)
                requests = [items for items, _ in taken]
                _resolve(taken, await loop.run_in_executor(self._thread, self._outcomes, requests))
        except RuntimeError:
            pass  # closed: the thread takes no more
        finally:  # whatever ended it, nobody is left waiting
            left, self._waiting, self._working = [*taken, *self._waiting], [], None
            _resolve(left, [RuntimeError("closed while the request was waiting") for _ in left])

    async def _gather(self) -> None:
        """Wait a moment for as many requests as came together last: their callers are about to ask again.

        Who asks alone never waits. Without it every other batch would be of one, and two threads would contend.
        """
        self._enough.clear()
        if len(self._waiting) < self._together:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._enough.wait(), _PATIENCE_S)

    def _take(self) -> list[tuple[Sequence[Item], asyncio.Future[Sequence[Answer]]]]:
        size, count = len(self._waiting[0][0]), 1
        while count < len(self._waiting) and size + len(self._waiting[count][0]) <= self._most:
            size += len(self._waiting[count][0])
            count += 1
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken

    def _outcomes(self, requests: Sequence[Sequence[Item]]) -> list[Sequence[Answer] | Exception]:
        try:
            answers = self._compute([item for items in requests for item in items])
        except Exception as problem:  # noqa: BLE001  whatever it is, it is the answer of a request
            if len(requests) == 1:
                return [problem]
            return [outcome for items in requests for outcome in self._outcomes([items])]
        outcomes: list[Sequence[Answer] | Exception] = []
        start = 0
        for items in requests:
            outcomes.append(answers[start : start + len(items)])
            start += len(items)
        return outcomes


def _resolve(
    taken: Sequence[tuple[Sequence[Item], asyncio.Future[Sequence[Answer]]]],
    outcomes: Sequence[Sequence[Answer] | Exception],
) -> None:
    for (_, future), outcome in zip(taken, outcomes, strict=True):
        if future.done():  # its caller has gone
            continue
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
