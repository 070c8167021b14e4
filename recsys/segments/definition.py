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
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, cast

from recsys.errors import SegmentError
from recsys.segments.conditions import All, Condition
from recsys.segments.definition_files import SegmentText, check_keys
from recsys.segments.hints import nearest
from recsys.segments.limits import MOST_DEEP, Limits
from recsys.segments.parsing import ConditionParser


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
            check_keys(text)
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
        if isinstance(default, int) and number.is_integer():
            # A number of users is whole. By way of a fraction it would lose its last digits.
            return int(value) if value.strip().lstrip("+-").isdecimal() else int(number)
        return number
    except (KeyError, ValueError) as error:
        kind = "true or false" if isinstance(default, bool) else "a number"
        raise SegmentError(
            f"{text.where}: the parameter {name} wants {kind}, not {value!r}"
        ) from error
