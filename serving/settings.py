"""What the service takes from its surroundings."""

import os

from features.errors import InputError

__all__ = ["port", "store_url"]


def store_url() -> str:
    """Return the URL of the store: ``PATRON_STORE``, or a SQLite file in the working folder."""
    return os.environ.get("PATRON_STORE") or "sqlite:///store.db"


def port() -> int:
    """Return the port to serve on: ``PATRON_PORT``, or 3000.

    Raises
    ------
    InputError
        It is no port.
    """
    text = os.environ.get("PATRON_PORT") or "3000"
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise InputError(f"PATRON_PORT is {text!r}: a port is a number from 1 to 65535")
    return int(text)
