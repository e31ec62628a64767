"""The columns a model was trained on: names, order and a digest of their definitions. It travels with the model."""

from collections.abc import Sequence
from dataclasses import dataclass

from features.catalogue import FEATURES, digest
from features.errors import ContractError

__all__ = ["Contract", "current_contract"]


@dataclass(frozen=True)
class Contract:
    """Feature names in column order, and the digest of their definitions."""

    names: tuple[str, ...]
    digest: str

    def require(self, given: Sequence[str]) -> None:
        """Refuse columns that are not these.

        Raises
        ------
        ContractError
            With the difference: missing, unexpected.
        """
        missing = [name for name in self.names if name not in set(given)]
        if missing:
            unexpected = [name for name in given if name not in set(self.names)]
            raise ContractError(
                f"the model was trained on {len(self.names)} features and was given {len(given)} columns: missing "
                f"{', '.join(missing)}; unexpected {', '.join(unexpected) or 'none'}. "
                "Score with the Patron the model was trained with, or train again."
            )

    def require_same(self, other: "Contract") -> None:
        """Refuse a catalogue whose names or definitions differ from this one's.

        Raises
        ------
        ContractError
            With the difference.
        """
        self.require(other.names)
        if self.digest != other.digest:
            raise ContractError(
                f"the model's features have definitions {self.digest}, this Patron's are {other.digest}: the same "
                "names mean something else now. Score with the Patron the model was trained with, or train again."
            )


def current_contract() -> Contract:
    """Return the contract of the catalogue as it stands."""
    return Contract(tuple(feature.name for feature in FEATURES), digest(FEATURES))
