"""Segments by name: read from TOML or YAML, joined with what they extend, and given a version.

    [segments.unhappy-guitarists]
    description = "Bought guitars of late and are unhappy with tuners."
    extends = "reachable"
    parameters = { days = 90 }
    where = { all = [{ events = "purchase", category = "Guitars", last_days = "$days" }] }

The version is the SHA-256 of the canonical JSON of all that is asked, what is extended or referred
to and the values of parameters included. What means the same has one version: the order of keys,
of joined conditions and of names in lists, what is said twice, 1 or 1.0, comments, names and
descriptions do not change it.
"""

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from math import isfinite
from typing import Any, cast

import yaml

from recsys.errors import SegmentError
from recsys.segments.conditions import All, Condition
from recsys.segments.hints import nearest
from recsys.segments.parsing import MOST_DEEP, ConditionParser, Limits
from recsys.segments.values import plain

LIBRARY = "library"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,47}")
_KEYS = ("description", "extends", "parameters", "where")
_PLAIN = (str, int, float, bool)


@dataclass(frozen=True, kw_only=True)
class SegmentText:
    """A segment as a file has it.

    Attributes:
        name: Unique among all files; lower-case letters, digits, - and _, at most 48.
        source: Its file.
        content: `description, extends, parameters, where`.
    """

    name: str
    source: str
    content: Mapping[str, Any]

    @property
    def where(self) -> str:
        """File and name, for messages."""
        return f"{self.source}: segment {self.name}"


@dataclass(frozen=True, kw_only=True)
class Definition:
    """A segment that can be asked.

    Attributes:
        name: Of the segment.
        description: One line for people.
        source: File that it stands in; `library` of those that ship.
        condition: All that is asked.
        parameters: Values that were filled in.
    """

    name: str
    description: str
    source: str
    condition: Condition
    parameters: Mapping[str, Any]

    @property
    def version(self) -> str:
        """SHA-256 of what is asked, 64 hexadecimal digits."""
        told = json.dumps(
            self.condition.told(), sort_keys=True, separators=(",", ":"), ensure_ascii=False
        )
        return hashlib.sha256(told.encode()).hexdigest()


class Definitions:
    """All segments that are known, by name.

    Args:
        texts: Of all files; names are unique.

    Raises:
        SegmentError: Two segments have one name, or one has an unknown key.
    """

    def __init__(self, texts: list[SegmentText]) -> None:
        self._texts: dict[str, SegmentText] = {}
        for text in texts:
            if text.name in self._texts:
                other = self._texts[text.name].source
                raise SegmentError(f"{text.where}: there is one of this name in {other}")
            _check_keys(text)
            self._texts[text.name] = text

    def names(self) -> list[str]:
        """Return all names, sorted."""
        return sorted(self._texts)

    def text(self, name: str) -> SegmentText:
        """Return a segment as its file has it.

        Raises:
            SegmentError: There is none of this name.
        """
        return self._find(name, "the segment asked for")

    def parameters(self, name: str) -> dict[str, Any]:
        """Return the parameters of a segment with their defaults, None without one.

        Those of what it extends are among them. See `definition` for errors.
        """
        return self._parameters(self.text(name), ())

    def definition(self, name: str, values: Mapping[str, Any] | None = None) -> Definition:
        """Return a segment with all that it extends and refers to.

        Args:
            name: Which.
            values: Of parameters; those that are not named keep their defaults.

        Raises:
            SegmentError: It is unknown, extends or refers to itself, a parameter has no value, or a
                condition is wrong.
        """
        text = self.text(name)
        given = dict(values or {})
        known = self._parameters(text, ())
        for unknown in sorted(set(given) - set(known)):
            told = ", ".join(known) or "none"
            hint = nearest(unknown, list(known))
            raise SegmentError(f"{text.where}: no parameter {unknown}; it has: {told}{hint}")
        filled = {key: _like(text, key, given[key], known[key]) for key in given}
        return Definition(
            name=name,
            description=str(text.content.get("description", "")),
            source=text.source,
            condition=self._condition(text, known | filled, (), Limits()),
            parameters=known | filled,
        )

    def _find(self, name: str, asked: str) -> SegmentText:
        if name not in self._texts:
            hint = nearest(name, self.names())
            raise SegmentError(
                f"{asked}: there is no segment {name}; there are: {', '.join(self.names())}{hint}"
            )
        return self._texts[name]

    def _condition(
        self, text: SegmentText, values: dict[str, Any], above: tuple[str, ...], limits: Limits
    ) -> Condition:
        """Return what a segment asks; `above` are those that led to it."""
        above = self._without_cycle(text, above)

        def other(name: str, asked: str, limits: Limits) -> Condition:
            found = self._find(name, asked)
            inner = self._parameters(found, above)
            # Parameters of one name are one: a reference passes them on.
            return self._condition(
                found, inner | {key: values[key] for key in inner if key in values}, above, limits
            )

        own = ConditionParser(text.where, values, other, limits).parse(text.content["where"])
        parent = text.content.get("extends")
        if parent is None:
            return own
        inherited = other(parent, f"{text.where}: extends", limits.deeper())
        parts = inherited.all if isinstance(inherited, All) else [inherited]
        return All(all=[*parts, *(own.all if isinstance(own, All) else [own])])

    def _parameters(self, text: SegmentText, above: tuple[str, ...]) -> dict[str, Any]:
        own = dict(cast(Mapping[str, Any], text.content.get("parameters", {})))
        own = {key: None if value == "" else value for key, value in own.items()}
        parent = text.content.get("extends")
        if parent is None:
            return own
        above = self._without_cycle(text, above)
        return self._parameters(self._find(parent, f"{text.where}: extends"), above) | own

    def _without_cycle(self, text: SegmentText, above: tuple[str, ...]) -> tuple[str, ...]:
        if text.name in above:
            circle = " -> ".join((*above[above.index(text.name) :], text.name))
            raise SegmentError(f"{text.where}: segments depend on themselves: {circle}")
        if len(above) >= MOST_DEEP:
            raise SegmentError(
                f"{text.where}: more than {MOST_DEEP} segments extend or refer to one another in "
                f"a row, from {above[0]} on"
            )
        return (*above, text.name)


def parse_segments(text: str, *, source: str) -> list[SegmentText]:
    """Read a file of segments.

    Args:
        text: TOML, or YAML where the name of the source ends in `.yaml` or `.yml`.
        source: Name of the file.

    Raises:
        SegmentError: It is neither, or has no table `segments`.
    """
    is_yaml = source.endswith((".yaml", ".yml"))
    try:
        content = _read_yaml(text) if is_yaml else tomllib.loads(text)
    except (tomllib.TOMLDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
        kind = "YAML" if is_yaml else "TOML"
        raise SegmentError(f"{source} is no {kind} file: {error or 'too deep'}") from error
    if not isinstance(content, dict) or not isinstance(content.get("segments"), dict):
        raise SegmentError(f"{source} has no table segments: write [segments.NAME]")
    others = sorted(str(key) for key in set(content) - {"segments"})
    if others:
        hint = nearest(others[0], ["segments"])
        raise SegmentError(f"{source}: unknown key {others[0]}; allowed: segments{hint}")
    found = []
    for name, one in content["segments"].items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise SegmentError(
                f"{source}: {name!r} is no name of a segment: 1 to 48 of a-z, 0-9, - and _, the "
                "first a letter or digit, since files, folders and tables are named after it"
            )
        if not isinstance(one, dict):
            raise SegmentError(f"{source}: segment {name}: wants a table of keys, not {one!r}")
        found.append(SegmentText(name=name, source=source, content=one))
    return found


def library() -> list[SegmentText]:
    """Return the segments that ship."""
    text = files("recsys.segments").joinpath("library.toml").read_text("utf-8")
    return [replace(one, source=LIBRARY) for one in parse_segments(text, source="library.toml")]


def _check_keys(text: SegmentText) -> None:
    content = text.content
    for key in content:
        if key not in _KEYS:
            hint = nearest(str(key), _KEYS)
            raise SegmentError(
                f"{text.where}: unknown key {key}; allowed: {', '.join(_KEYS)}{hint}"
            )
    if "where" not in content:
        raise SegmentError(f"{text.where}: where is missing: it says who is in the segment")
    for key in ("description", "extends"):
        if not isinstance(content.get(key, ""), str):
            raise SegmentError(f"{text.where}: {key} wants a text, not {content[key]!r}")
    parameters = content.get("parameters", {})
    if not isinstance(parameters, dict):
        raise SegmentError(f"{text.where}: parameters wants a table, not {parameters!r}")
    for key, value in parameters.items():
        if not isinstance(value, _PLAIN):
            raise SegmentError(
                f"{text.where}: parameters.{key}: wants a text, a number or true or false as its "
                f'default ("" for none), not {value!r}'
            )


def _like(text: SegmentText, name: str, value: Any, default: Any) -> Any:
    """Turn the text of a command line into the type of the default."""
    if not isinstance(value, str) or default is None or isinstance(default, str):
        return value
    try:
        if isinstance(default, bool):
            return {"true": True, "false": False}[value.lower()]
        number = float(value)
        if not isfinite(number):
            raise ValueError("no finite number")
        # A number of users is whole, where the default is.
        return plain(number) if isinstance(default, int) else number
    except (KeyError, ValueError) as error:
        kind = "true or false" if isinstance(default, bool) else "a number"
        raise SegmentError(
            f"{text.where}: the parameter {name} wants {kind}, not {value!r}"
        ) from error


class _Loader(yaml.SafeLoader):
    """YAML of plain values in which no key is given twice and nothing refers to anything else."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuse aliases: few lines of them can stand for more than a memory holds."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("anchors and aliases are not read: write it out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        """Refuse a key that is given twice: the first would be dropped silently."""
        keys = [key.value for key, _ in node.value]
        for place, key in enumerate(keys):
            if key in keys[:place]:
                raise yaml.YAMLError(
                    f"the key {key} is given twice in line {node.start_mark.line + 1}"
                )
        return super().construct_mapping(node, deep)


def _read_yaml(text: str) -> Any:
    return yaml.load(text, _Loader)
