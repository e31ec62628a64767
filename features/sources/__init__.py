"""One module per kind of source; each reads an export into canonical columns."""

from collections.abc import Callable
from pathlib import Path

from features.sources import cdnow, online_retail
from features.sources.delivery import Delivery

__all__ = ["SOURCES"]

SOURCES: dict[str, Callable[[Path], Delivery]] = {
    "cdnow": cdnow.read,
    "online-retail": online_retail.read,
}
"""Name on the command line -> adapter."""
