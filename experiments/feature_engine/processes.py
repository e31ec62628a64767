"""Functions called in other processes: each in a fresh one when memory and caches matter, else all in one."""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

__all__ = ["Call", "in_fresh_processes", "in_one_process"]

Call = Callable[..., Any]
"""Calls a function with arguments in another process and returns what it returns."""


@contextmanager
def in_fresh_processes() -> Iterator[Call]:
    """Each call in a process of its own: its memory is its own, and it inherits no caches."""

    def call(function: Callable[..., Any], *arguments: object) -> Any:
        with in_one_process() as call_once:
            return call_once(function, *arguments)

    yield call


@contextmanager
def in_one_process() -> Iterator[Call]:
    """All calls in one process: quick, with no meaning to its memory."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        yield lambda function, *arguments: pool.submit(function, *arguments).result()
