"""The names that a playbook's expressions may use, growing as it is read from top to bottom."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import polars as pl

from serving.rules.columns import COLUMNS, Type
from serving.rules.document import Reader
from serving.rules.language import Expression, Scope, compile_expression
from serving.rules.parts import Definition
from serving.rules.words import Sentence, read_sentences

__all__ = ["Names"]


@dataclass
class Names:
    """What has been defined so far, and which input columns each name rests on.

    Attributes
    ----------
    used
        Every input column that anything read so far asks for.
    """

    parameters: dict[str, float | str | bool]
    columns: dict[str, Type] = field(default_factory=lambda: dict(COLUMNS))
    definitions: list[Definition] = field(default_factory=list)
    rests_on: dict[str, frozenset[str]] = field(
        default_factory=lambda: {name: frozenset({name}) for name in COLUMNS}
    )
    used: set[str] = field(default_factory=set)

    def expression(self, reader: Reader, wanted: Type | None = None, **own: float) -> Expression:
        """Read an expression; ``own``: parameters of its own."""
        scope = Scope(self.columns, {**self.parameters, **own})
        found = compile_expression(reader.expression(), scope, wanted, reader.place)
        self.use(found.columns)
        return found

    def condition(self, reader: Reader) -> Expression:
        """Read an expression that is a flag."""
        return self.expression(reader, Type.FLAG)

    def sentences(self, reader: Reader) -> tuple[Sentence, ...]:
        """Read a sentence in each language."""
        found = read_sentences(reader, Scope(self.columns, self.parameters))
        self.use(column for sentence in found for column in sentence.columns)
        return found

    def inputs(self, expression: Expression) -> frozenset[str]:
        """Return the input columns that an expression rests on."""
        return frozenset().union(*(self.rests_on[name] for name in expression.columns))

    def use(self, columns: Iterable[str]) -> None:
        """Note the input columns that these columns rest on."""
        self.used.update(*(self.rests_on[name] for name in columns))

    def add_input(self, reader: Reader, name: str, type_: Type) -> None:
        """Add an input column beside ``COLUMNS``; its name must be free, among the parameters too."""
        if name in self.parameters:
            raise reader.fail(f"{name!r} is a parameter already: choose another name")
        self._require_free(reader, name)
        self.columns[name] = type_
        self.rests_on[name] = frozenset({name})

    def define(
        self, reader: Reader, name: str, type_: Type, compiled: pl.Expr, columns: tuple[str, ...]
    ) -> None:
        """Add a column; its name must be free."""
        self._require_free(reader, name)
        levels = {definition.name: definition.level + 1 for definition in self.definitions}
        level = max((levels.get(column, 0) for column in columns), default=0)
        self.definitions.append(Definition(name, type_, columns, level, compiled.alias(name)))
        self.columns[name] = type_
        self.rests_on[name] = frozenset().union(*(self.rests_on[column] for column in columns))

    def _require_free(self, reader: Reader, name: str) -> None:
        if name in self.columns:
            raise reader.fail(f"{name!r} is a column already: choose another name")
