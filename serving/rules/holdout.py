"""The holdout: customers withheld from marketing by a hash of their id, the same everywhere and at any time."""

from collections.abc import Iterable
from hashlib import blake2b

from serving.rules.parts import Holdout

__all__ = ["is_withheld", "withheld"]

_LEVELS = 1 << 64


def withheld(holdout: Holdout, customer_ids: Iterable[str | None]) -> list[bool]:
    """Return who is withheld; an unknown id is, since it could not be read out."""
    limit = round(holdout.share * _LEVELS)
    start = blake2b(f"{holdout.salt}\n".encode(), digest_size=8)
    found = []
    for customer_id in customer_ids:
        if customer_id is None:
            found.append(True)
            continue
        drawn = start.copy()
        drawn.update(customer_id.encode())
        found.append(int.from_bytes(drawn.digest()) < limit)
    return found


def is_withheld(holdout: Holdout, customer_id: str | None) -> bool:
    """Whether this customer is withheld: BLAKE2b-64 of ``salt, newline, customer_id`` under ``share`` of its range."""
    return withheld(holdout, [customer_id])[0]
