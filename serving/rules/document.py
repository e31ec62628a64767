"""A YAML document whose every value knows its line and column."""

import re
from dataclasses import dataclass
from typing import Any, TypeAlias

import yaml

from features.errors import PlaybookError
from serving.rules.language import suggestion

__all__ = ["Plain", "Reader", "read"]

Plain: TypeAlias = "str | list[Plain] | dict[str, Plain]"
"""A document without its places."""

_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Reader:
    """One value of a document: read as what it has to be, or refused with file, line and column."""

    file: str
    node: yaml.Node

    def fail(self, message: str) -> PlaybookError:
        """Return the error for this value."""
        return PlaybookError(f"{self.place(0)}: {message}")

    def place(self, offset: int) -> str:
        """Return file:line:column of a character of this value's text."""
        mark = self.node.start_mark
        if not isinstance(self.node, yaml.ScalarNode) or mark.buffer is None:
            return f"{self.file}:{mark.line + 1}:{mark.column + 1}"
        raw = mark.buffer[mark.pointer : self.node.end_mark.pointer]
        index = mark.pointer + _raw_offset(raw, self.node, offset)
        line_start = mark.buffer.rfind("\n", 0, index) + 1
        return f"{self.file}:{mark.buffer.count(chr(10), 0, index) + 1}:{index - line_start + 1}"

    def fields(self, required: str, optional: str = "") -> dict[str, "Reader"]:
        """Read a mapping that has exactly these keys, names apart by spaces."""
        found = self.entries()
        known = (*required.split(), *optional.split())
        for key in found:
            if key not in known:
                raise self._at(key).fail(
                    f"unknown key {key!r}{suggestion(key, known)}; allowed: {', '.join(known)}"
                )
        if missing := [key for key in required.split() if key not in found]:
            raise self.fail(f"{', '.join(missing)} missing; given: {', '.join(found) or 'nothing'}")
        return found

    def entries(self) -> dict[str, "Reader"]:
        """Read a mapping with keys of its own, each a name and given once."""
        found: dict[str, Reader] = {}
        for key, value in self._pairs():
            name = Reader(self.file, key).name()
            if name in found:
                raise Reader(self.file, key).fail(f"{name!r} stands here twice: remove one")
            found[name] = Reader(self.file, value)
        return found

    def items(self) -> "list[Reader]":
        """Read a list."""
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.fail(f"a list is needed here, not {self._shown()}")
        return [Reader(self.file, item) for item in self.node.value]

    def one_or_more(self) -> "list[Reader]":
        """Read a list, or a single value as a list of one; it may not be empty."""
        found = self.items() if isinstance(self.node, yaml.SequenceNode) else [self]
        if not found:
            raise self.fail("a value at least is needed here, not an empty list")
        return found

    def text(self) -> str:
        """Read a text; numbers and flags are none."""
        if self._tag != "str" or not self.node.value.strip():
            raise self.fail(f"a text is needed here, not {self._shown()}")
        return str(self.node.value)

    def name(self) -> str:
        """Read a name: lower-case letters, digits, underscores."""
        found = self.text()
        if not _NAME.fullmatch(found):
            raise self.fail(f"{found!r} is no name: lower-case letters, digits and _, a letter first")
        return found

    def expression(self) -> str:
        """Read a text or anything else that is written as one word or number, as it stands."""
        if not isinstance(self.node, yaml.ScalarNode) or not self.node.value.strip():
            raise self.fail(f"an expression is needed here, not {self._shown()}")
        return str(self.node.value)

    def number(self, least: float, most: float) -> float:
        """Read a number between two bounds, both allowed."""
        value = self.scalar()
        if isinstance(value, bool | str) or not least <= value <= most:
            raise self.fail(f"a number from {least:g} to {most:g} is needed here, not {self._shown()}")
        return value

    def whole(self, least: int, most: int) -> int:
        """Read a whole number between two bounds, both allowed."""
        value = self.number(least, most)
        if value != int(value):
            raise self.fail(f"a whole number is needed here, not {self._shown()}")
        return int(value)

    def scalar(self) -> float | str | bool:
        """Read a number, a text or a flag."""
        value = (
            yaml.SafeLoader("").construct_object(self.node) if self._tag in ("int", "float", "bool") else None
        )
        if self._tag == "str":
            return self.text()
        if not isinstance(value, bool | int | float):
            raise self.fail(f"a number, text or flag is needed here, not {self._shown()}")
        return value if isinstance(value, bool) else float(value)

    def choice(self, choices: tuple[str, ...]) -> str:
        """Read one of these words."""
        found = self.text()
        if found not in choices:
            raise self.fail(f"{found!r} is none of {', '.join(choices)}{suggestion(found, choices)}")
        return found

    def plain(self) -> Plain:
        """Return the value without its places; a word is not a number that looks like it."""
        if isinstance(self.node, yaml.MappingNode):
            return {name: value.plain() for name, value in self.entries().items()}
        if isinstance(self.node, yaml.SequenceNode):
            return [item.plain() for item in self.items()]
        return f"{self._tag} {self.node.value}"

    @property
    def _tag(self) -> str:
        return str(self.node.tag).removeprefix("tag:yaml.org,2002:")

    def _shown(self) -> str:
        return repr(self.node.value) if isinstance(self.node, yaml.ScalarNode) else f"a {self._tag}"

    def _pairs(self) -> list[tuple[yaml.Node, yaml.Node]]:
        if not isinstance(self.node, yaml.MappingNode):
            raise self.fail(f"keys with values are needed here, not {self._shown()}")
        return list(self.node.value)

    def _at(self, name: str) -> "Reader":
        return next(Reader(self.file, key) for key, _ in self._pairs() if key.value == name)


def read(file: str, text: str) -> Reader:
    """Read one YAML document.

    Raises
    ------
    PlaybookError
        It is no YAML, empty, or uses anchors.
    """
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise PlaybookError(f"{_place(file, event.start_mark)}: an alias; write the value out")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        where = _place(file, error.problem_mark or error.context_mark)
        raise PlaybookError(f"{where}: this is no YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise PlaybookError(f"{file}: this is no YAML: {str(error).splitlines()[0]}") from None
    if node is None:
        raise PlaybookError(f"{file}:1:1: the file is empty")
    return Reader(file, node)


def _place(file: str, mark: Any) -> str:
    return f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file


def _raw_offset(raw: str, node: yaml.ScalarNode, offset: int) -> int:
    """Where a character of the value stands in the file's text: both have the same characters but for spaces."""
    wanted = len("".join(node.value[:offset].split()))
    start = raw.find("\n") + 1 if node.style in ("|", ">") else len(node.style or "")
    solid = [position for position in range(start, len(raw)) if not raw[position].isspace()]
    return solid[min(wanted, len(solid) - 1)] if solid else 0
