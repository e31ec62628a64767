"""Requests that are computed together: each gets its own answers, and none waits for ever."""

import asyncio
from threading import Event

import pytest

from serving.batching import Together

PATIENCE_S = 5


class Machine:
    """Doubles numbers, and notes what it was asked at once; a negative one is a mistake. It waits while ``go`` is not set."""

    def __init__(self):
        self.passes, self.begun, self.go = [], Event(), Event()
        self.go.set()

    def __call__(self, items):
        self.begun.set()
        assert self.go.wait(PATIENCE_S)
        self.passes.append(list(items))
        for item in items:
            if item < 0:
                raise ValueError(f"{item} is negative")
        return [2 * item for item in items]


@pytest.fixture
def machine():
    made = Machine()
    yield made
    made.go.set()


def run(machine, play, most=64):
    """Let ``play(together)`` run to its end; a future that is left unresolved is a timeout."""

    async def limited():
        together = Together(machine, most)
        try:
            return await asyncio.wait_for(play(together), PATIENCE_S)
        finally:
            together.close()

    return asyncio.run(limited())


async def behind(machine, together, requests):
    """Send a request that holds the thread, and these while it is held; return the tasks of these."""
    machine.go.clear()
    first = asyncio.create_task(together.answer([0]))
    while not machine.begun.is_set():
        await asyncio.sleep(0.001)
    tasks = [asyncio.create_task(together.answer(items)) for items in requests]
    await asyncio.sleep(0)
    return first, tasks


def sent_behind(machine, requests, most=64):
    async def play(together):
        first, tasks = await behind(machine, together, requests)
        machine.go.set()
        assert await first == [0]
        return await asyncio.gather(*tasks, return_exceptions=True)

    return run(machine, play, most)


def test_those_that_wait_are_computed_in_one_pass_and_told_apart(machine):
    assert sent_behind(machine, [[1, 2], [3], [], [4, 5, 6]]) == [[2, 4], [6], [], [8, 10, 12]]
    assert machine.passes == [[0], [1, 2, 3, 4, 5, 6]]


def test_no_pass_has_more_than_the_most_unless_one_request_has(machine):
    assert sent_behind(machine, [[1, 2], [3, 4], [5], [1, 2, 3, 4, 5], [6]], most=4) == [
        [2, 4], [6, 8], [10], [2, 4, 6, 8, 10], [12],
    ]  # fmt: skip
    assert machine.passes == [[0], [1, 2, 3, 4], [5], [1, 2, 3, 4, 5], [6]]


def test_a_bad_request_spoils_no_other(machine):
    one, bad, other, worse = sent_behind(machine, [[1], [2, -1], [3], [-2]])
    assert (one, other) == ([2], [6])
    assert (type(bad), str(bad), str(worse)) == (ValueError, "-1 is negative", "-2 is negative")


def test_after_a_mistake_it_goes_on(machine):
    async def play(together):
        with pytest.raises(ValueError, match="-1 is negative"):
            await together.answer([-1])
        return await together.answer([1])

    assert run(machine, play) == [2]


def test_a_caller_that_has_gone_takes_nobody_along(machine):
    async def play(together):
        first, (gone, stays) = await behind(machine, together, [[1], [2]])
        first.cancel()
        gone.cancel()
        await asyncio.sleep(0)
        machine.go.set()
        return await stays, first.cancelled(), gone.cancelled(), await together.answer([3])

    assert run(machine, play) == ([4], True, True, [6])


def test_a_hundred_at_once_are_answered_as_one_by_one(machine):
    requests = [list(range(start, start + start % 7)) for start in range(100)]

    async def at_once(together):
        return await asyncio.gather(*(together.answer(items) for items in requests))

    async def one_by_one(together):
        return [await together.answer(items) for items in requests]

    expected = [[2 * item for item in items] for items in requests]
    assert run(machine, at_once, most=16) == expected
    assert len(machine.passes) < 100
    assert run(machine, one_by_one, most=16) == expected


def test_nobody_waits_for_ever_when_it_is_closed(machine):
    async def play(together):
        first, tasks = await behind(machine, together, [[1], [2]])
        together.close()
        machine.go.set()
        return await asyncio.gather(first, *tasks, return_exceptions=True)

    first, *others = run(machine, play)
    assert first == [0]  # it was being computed
    assert [str(other) for other in others] == ["closed while the request was waiting"] * 2


def test_a_request_after_closing_is_refused_each_time(machine):
    async def play(together):
        await together.answer([1])
        together.close()
        return await asyncio.gather(together.answer([2]), together.answer([3]), return_exceptions=True)

    assert [type(outcome) for outcome in run(machine, play)] == [RuntimeError, RuntimeError]
