"""A playbook: loaded from its file, checked, compiled; nothing is decided without one."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from features.errors import PlaybookError
from features.vocabulary import Feature
from serving.rules.columns import Type, consent_column
from serving.rules.document import Reader, read
from serving.rules.measures import read_measures
from serving.rules.naming import Names
from serving.rules.parts import Definition, Offer, Policy, Scheme, Tag
from serving.rules.reading import (
    read_derived,
    read_offers,
    read_parameters,
    read_policy,
    read_schemes,
    read_tags,
)
from serving.rules.words import Words, read_words

__all__ = ["Playbook", "default_playbook", "load_playbook", "parse_playbook"]

FORMAT = 1
"""Part of every digest: raised when the same file would decide otherwise."""


@dataclass(frozen=True, eq=False)  # one is as good as itself: plans are kept by identity
class Playbook:
    """What is decided, about whom, and within which limits.

    Attributes
    ----------
    digest
        Fingerprint (SHA-256) of the content: not of comments and layout, but of the order, which decides.
    measured
        Features of its own, to be computed beside the catalogue's.
    definitions
        Columns added to the profile (derived, schemes, tags), in the order of the file.
    inputs
        Input columns that any rule reads, with their types: what a record of a decision has to keep to replay it.
    """

    name: str
    title: Words
    digest: str
    parameters: Mapping[str, float | str | bool]
    measured: tuple[Feature, ...]
    definitions: tuple[Definition, ...]
    schemes: tuple[Scheme, ...]
    tags: tuple[Tag, ...]
    offers: tuple[Offer, ...]
    policy: Policy
    inputs: Mapping[str, Type]


def load_playbook(path: Path) -> Playbook:
    """Load a playbook's file.

    Raises
    ------
    PlaybookError
        It cannot be read, or does not hold what it must; with file, line and column.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PlaybookError(f"{path}: the playbook cannot be read: {error}") from None
    return parse_playbook(text, str(path))


@cache
def default_playbook() -> Playbook:
    """Return the playbook that ships with the project, ``retail``; loaded once."""
    shipped = files("serving.rules") / "playbooks" / "retail.yaml"
    return parse_playbook(shipped.read_text(encoding="utf-8"), "retail.yaml")


def parse_playbook(text: str, file: str = "playbook") -> Playbook:
    """Read a playbook from its text; ``file`` is what errors call it.

    Raises
    ------
    PlaybookError
        It does not hold what it must; with file, line and column.
    """
    reader = read(file, text)
    fields = reader.fields("playbook en zh parameters derived schemes tags offers policy", "measures")
    names = Names(read_parameters(fields["parameters"]))
    measured = read_measures(fields["measures"], names) if "measures" in fields else ()
    read_derived(fields["derived"], names)
    schemes = read_schemes(fields["schemes"], names)
    tags = read_tags(fields["tags"], names)
    offers = read_offers(fields["offers"], names)
    policy = read_policy(fields["policy"], names)
    return Playbook(
        name=fields["playbook"].name(),
        title=read_words(fields),
        digest=_digest(reader),
        parameters=names.parameters,
        measured=measured,
        definitions=tuple(names.definitions),
        schemes=schemes,
        tags=tags,
        offers=offers,
        policy=policy,
        inputs=_inputs(names, offers),
    )


def _inputs(names: Names, offers: tuple[Offer, ...]) -> dict[str, Type]:
    consents = {consent_column(channel, offer.purpose) for offer in offers for channel in offer.channels}
    needed = names.used | consents | {"customer_id", "timezone", "as_of"}
    return {name: type_ for name, type_ in names.columns.items() if name in needed}


def _digest(reader: Reader) -> str:
    content = json.dumps([FORMAT, reader.plain()], ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()
