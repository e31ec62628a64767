"""Every deliberate error, as a tree. The command line turns each into one line and exit status 2.

PatronError
├── InputError         what was handed in cannot be used: a file, a column, an argument
│   ├── NothingUsable  a load in which not a single row could be kept
│   ├── PlaybookError  a playbook that cannot be used, with file, line and column
│   └── TooLittleHistory  the data cannot carry what was asked of it (training, scoring)
├── WarehouseBusy      another process holds the warehouse file
├── StoreUnavailable   the store is not there, holds something else, or does not answer
├── ServiceFailed      the service did not start, or answered with an error
├── ContractError      columns that are not those a model was trained on
└── ModelError         a model that does not exist, or may not be used at this as-of

An error says what, where, both sides, and what to do.
"""

__all__ = [
    "ContractError",
    "InputError",
    "ModelError",
    "NothingUsable",
    "PatronError",
    "PlaybookError",
    "ServiceFailed",
    "StoreUnavailable",
    "TooLittleHistory",
    "WarehouseBusy",
]


class PatronError(Exception):
    """Root of all deliberate errors."""


class InputError(PatronError, ValueError):
    """What was handed in cannot be used."""


class NothingUsable(InputError):
    """A load in which not a single row could be kept."""


class PlaybookError(InputError):
    """A playbook that cannot be used: a key, a name, an expression."""


class TooLittleHistory(InputError):
    """The data cannot carry what was asked of it."""


class StoreUnavailable(PatronError):
    """The store is not there, holds something else, or does not answer."""


class ServiceFailed(PatronError):
    """The service did not start, or answered with an error."""


class WarehouseBusy(PatronError):
    """Another process holds the warehouse file."""


class ContractError(PatronError, ValueError):
    """Columns that are not those a model was trained on."""


class ModelError(PatronError, ValueError):
    """A model that does not exist, or may not be used at this as-of."""
