"""What commands share: the terminal, the files that they write, the warehouse that they name. Nothing heavy is imported."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, BinaryIO

import pandas as pd
import typer
from rich.console import Console
from rich.progress import Progress

from features.errors import InputError

__all__ = ["WarehouseFile", "console", "progress_bar", "whole_file", "write_parquet"]

# into a file or a pipe, tables are not squeezed into a terminal's width
console = Console(highlight=False, markup=False, soft_wrap=True, width=None if sys.stdout.isatty() else 160)

WarehouseFile = Annotated[Path, typer.Option("--warehouse", help="The warehouse file (DuckDB).")]


@contextmanager
def progress_bar(console: Console, what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar while the caller reports parts done and in all."""
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file to write that appears whole or not at all.

    Raises
    ------
    InputError
        It cannot be written there.
    """
    if path.is_dir():
        raise InputError(f"{path}: is a folder; --out names the file to write")
    unfinished = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as file:
            yield file
        unfinished.replace(path)
    except OSError as problem:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise InputError(f"{path}: cannot be written ({problem.strerror}); choose another --out") from problem


def write_parquet(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame; the file appears whole or not at all."""
    with whole_file(path) as file:
        frame.to_parquet(file, index=False)
