"""The columns a model was trained on: names, types, order, and digests of their definitions. It travels with the model."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from features.catalogue import FEATURES, digest
from features.errors import ContractError

__all__ = ["Contract", "current_contract"]

_WHAT_TO_DO = "Score with the Patron the model was trained with, or train again."
_MOST_NAMED = 8
"""Names of one kind that an error lists; of more it tells the number."""

_SHORT = 8
"""Hexadecimal digits of one feature's digest: enough to tell a definition from its successor."""


@dataclass(frozen=True)
class Contract:
    """What a model knows about its columns, in column order.

    Attributes
    ----------
    names
        Of the features.
    types
        ``int64`` or ``float64``, one a name.
    definitions
        Short digest of each feature's definition, so that an error can name those that changed.
    digest
        Of all definitions and their order; what two parts of one training are told by.
    """

    names: tuple[str, ...]
    types: tuple[str, ...]
    definitions: tuple[str, ...]
    digest: str

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> "Contract":
        """Read what ``dataclasses.asdict`` made of one and JSON kept.

        That of an older Patron, which lacks parts, is refused by ``require_same``.
        """
        types, definitions = (tuple(data.get(part, ())) for part in ("types", "definitions"))
        return cls(tuple(data["names"]), types, definitions, data["digest"])

    def require(self, given: Sequence[str]) -> None:
        """Refuse columns among which one of these is missing; others beside them and another order will do.

        Raises
        ------
        ContractError
            With the difference: missing, unexpected.
        """
        missing = _without(self.names, given)
        if missing:
            unexpected = _listed(_without(given, self.names)) or "none"
            raise ContractError(
                f"the model was trained on {len(self.names)} features and was given {len(given)} columns: missing "
                f"{_listed(missing)}; unexpected {unexpected}. {_WHAT_TO_DO}"
            )

    def require_same(self, other: "Contract") -> None:
        """Refuse a catalogue whose names, types, order or definitions differ from this one's.

        Raises
        ------
        ContractError
            With the difference: missing, unexpected, type changed, order changed, definition changed; or this contract
            is that of an older Patron, which knew less about its columns.
        """
        self._require_whole()
        differences = [f"{what} {_listed(found)}" for what, found in self._differences(other) if found]
        if not differences and self.digest != other.digest:
            differences = [f"digest {self.digest} (now {other.digest})"]
        if differences:
            raise ContractError(
                f"the model was trained on {len(self.names)} features, this Patron has {len(other.names)}: "
                f"{'; '.join(differences)}. {_WHAT_TO_DO}"
            )

    def _require_whole(self) -> None:
        if not len(self.names) == len(self.types) == len(self.definitions):
            raise ContractError(
                f"the model's card holds {len(self.names)} names, {len(self.types)} types and {len(self.definitions)} "
                f"definitions of features: an older Patron wrote it, or it is damaged. {_WHAT_TO_DO}"
            )

    def _differences(self, other: "Contract") -> Iterator[tuple[str, list[str]]]:
        """Yield each kind of difference and the features that differ by it."""
        ours, theirs = self._by_name(), other._by_name()
        both = [name for name in self.names if name in theirs]
        yield "missing", _without(self.names, other.names)
        yield "unexpected", _without(other.names, self.names)
        types = ((name, ours[name][0], theirs[name][0]) for name in both)
        yield "type changed", [f"{name} ({old}, now {new})" for name, old, new in types if old != new]
        yield "order changed", _first_moved(both, [name for name in other.names if name in ours])
        yield "definition changed", [name for name in both if ours[name][1] != theirs[name][1]]

    def _by_name(self) -> dict[str, tuple[str, str]]:
        parts = zip(self.types, self.definitions, strict=True)
        return dict(zip(self.names, parts, strict=True))


def current_contract() -> Contract:
    """Return the contract of the catalogue as it stands; it takes some milliseconds."""
    return Contract(
        tuple(feature.name for feature in FEATURES),
        tuple(feature.type for feature in FEATURES),
        tuple(digest((feature,))[:_SHORT] for feature in FEATURES),
        digest(FEATURES),
    )


def _without(names: Sequence[str], others: Sequence[str]) -> list[str]:
    known = set(others)
    return [name for name in names if name not in known]


def _first_moved(before: Sequence[str], now: Sequence[str]) -> list[str]:
    """Return the first name that stands elsewhere now, in words: where one moved, many stand elsewhere."""
    moved = [(one, other) for one, other in zip(before, now, strict=True) if one != other]
    return [f"from {one} on ({other} is there now)" for one, other in moved[:1]]


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
