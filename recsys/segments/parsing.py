"""From what a file says to conditions; whatever is wrong is named by its place, with what is near.

A condition is a table with one of `KINDS` among its keys, which says what it is.
"""

import re
from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import ValidationError

from recsys.errors import SegmentError
from recsys.segments.comparison import COMPARISONS, Comparison
from recsys.segments.conditions import (
    All,
    Any_,
    Audience,
    Compare,
    Condition,
    Lookalike,
    Not,
    Rank,
    Sequence,
    Step,
)
from recsys.segments.hints import nearest
from recsys.segments.limits import MOST_CONDITIONS, MOST_DEEP, Limits
from recsys.segments.parts import Part
from recsys.segments.values import (
    AspectValue,
    ContactsValue,
    EventsValue,
    OutcomeValue,
    ProfileValue,
    ReviewsValue,
    UserValue,
    Value,
)

_VALUES: dict[str, type[Part]] = {
    "profile": ProfileValue,
    "user": UserValue,
    "outcome": OutcomeValue,
    "aspect": AspectValue,
    "events": EventsValue,
    "reviews": ReviewsValue,
    "contacts": ContactsValue,
}
_OTHERS = ("all", "any", "not", "segment", "sequence", "rank", "lookalike", "audience")
KINDS = (*_OTHERS, *_VALUES)
# A review condition may say of which aspect, and a contact of which segment.
_MORE_THAN_A_KIND = {"reviews": {"aspect"}, "contacts": {"segment"}}
AnyPart = TypeVar("AnyPart", bound=Part)


Reference = Callable[[str, str, Limits], Condition]
"""Gives the condition of a named segment, by where it was asked for and what it may add."""


class ConditionParser:
    """Parses the conditions of one segment.

    Args:
        where: File and segment, for messages.
        parameters: Values that stand in for `$name`.
        reference: Finds other segments.
        limits: Of the whole definition.
    """

    def __init__(
        self, where: str, parameters: dict[str, Any], reference: Reference, limits: Limits
    ) -> None:
        self._where = where
        self._parameters = parameters
        self._reference = reference
        self._limits = limits

    def parse(self, raw: Any, path: str = "where", depth: int = 0) -> Condition:
        """Read one condition with all that it holds.

        Args:
            raw: What the file says.
            path: Where in the segment it stands.
            depth: How many conditions hold it.

        Raises:
            SegmentError: It is none; the message names file, segment and path, what was seen and
                what is near it.
        """
        if self._limits.are_passed(depth):
            raise self._error(
                path,
                f"more than {MOST_CONDITIONS} conditions, or {MOST_DEEP} in one another, with all "
                "that is extended and referred to",
            )
        if not isinstance(raw, dict):
            raise self._error(path, f"a condition is a table of keys, not {raw!r}")
        kind = self._kind(raw, path)
        if kind in _VALUES:
            return self._compare(kind, raw, path)
        if kind in ("all", "any"):
            parts = self._only(raw, kind, path)
            if not isinstance(parts, list) or not parts:
                raise self._error(path, f"{kind} wants a list of at least one condition")
            found = [
                self.parse(part, f"{path}.{kind}[{number}]", depth + 1)
                for number, part in enumerate(parts)
            ]
            return All(all=found) if kind == "all" else Any_(any=found)
        if kind == "not":
            inner = self.parse(self._only(raw, kind, path), f"{path}.not", depth + 1)
            return Not.model_validate({"not": inner})
        if kind == "segment":
            name = self._filled(self._only(raw, kind, path), f"{path}.segment")
            if not isinstance(name, str):
                raise self._error(path, f"segment wants the name of one, not {name!r}")
            limits = self._limits.deeper(depth + 1)
            return self._reference(name, f"{self._where}: {path}", limits)
        return self._set_of_users(kind, raw, path, depth)

    def _set_of_users(self, kind: str, raw: dict[str, Any], path: str, depth: int) -> Condition:
        if kind == "sequence":
            steps = raw["sequence"]
            if not isinstance(steps, list):
                raise self._error(path, f"sequence wants a list of steps, not {steps!r}")
            parsed = [
                self._model(Step, step, f"{path}.sequence[{number}]")
                for number, step in enumerate(steps)
            ]
            return self._model(Sequence, raw | {"sequence": parsed}, path)
        if kind == "rank":
            value = self._value(raw["rank"], f"{path}.rank")
            among = {}
            if "among" in raw:
                among = {"among": self.parse(raw["among"], f"{path}.among", depth + 1)}
            return self._model(Rank, raw | {"rank": value} | among, path)
        if kind == "lookalike":
            seeds = raw["lookalike"]
            if isinstance(seeds, dict):
                seeds = self.parse(seeds, f"{path}.lookalike", depth + 1)
            return self._model(Lookalike, raw | {"lookalike": seeds}, path)
        return self._model(Audience, raw, path)

    def _kind(self, raw: dict[str, Any], path: str) -> str:
        found = [kind for kind in KINDS if kind in raw]
        if len(found) > 1:
            for kind in found:
                if set(found) - {kind} <= _MORE_THAN_A_KIND.get(kind, set()):
                    return kind
            raise self._error(
                path, f"{' and '.join(found)} are conditions of their own: join them by all or any"
            )
        if not found:
            seen = ", ".join(map(str, raw)) or "nothing"
            near = [hint for key in raw if (hint := nearest(str(key), KINDS))]
            raise self._error(
                path,
                f"a condition has one of the keys {', '.join(KINDS)}; there is {seen}"
                + (near[0] if near else ""),
            )
        return found[0]

    def _compare(self, kind: str, raw: dict[str, Any], path: str) -> Condition:
        asked = {key: value for key, value in raw.items() if key in COMPARISONS}
        rest = {key: value for key, value in raw.items() if key not in COMPARISONS}
        value = self._model(_VALUES[kind], rest, path, also=COMPARISONS)
        # Doing or writing something is asked for more often than how much of it.
        if not asked and isinstance(value, EventsValue | ReviewsValue | ContactsValue):
            measure = value.measure if isinstance(value, EventsValue) else rest[kind]
            asked = {"at_least": 1} if measure == "count" else {}
        comparison = self._model(Comparison, asked, path)
        return Compare(value=value, comparison=comparison)  # type: ignore[arg-type]

    def _value(self, raw: Any, path: str) -> Value:
        if not isinstance(raw, dict) or self._kind(raw, path) not in _VALUES:
            raise self._error(path, f"wants a value: a table with one of {', '.join(_VALUES)}")
        return self._model(_VALUES[self._kind(raw, path)], raw, path)  # type: ignore[return-value]

    def _only(self, raw: dict[str, Any], kind: str, path: str) -> Any:
        others = sorted(str(key) for key in set(raw) - {kind})
        if others:
            raise self._error(path, f"unknown key {others[0]} beside {kind}, which stands alone")
        return raw[kind]

    def _model(
        self, model: type[AnyPart], raw: Any, path: str, also: tuple[str, ...] = ()
    ) -> AnyPart:
        if not isinstance(raw, dict):
            raise self._error(path, f"wants a table of keys, not {raw!r}")
        filled = {key: self._filled(value, f"{path}.{key}") for key, value in raw.items()}
        try:
            return model.model_validate(filled)
        except ValidationError as error:
            allowed = [field.alias or name for name, field in model.model_fields.items()]
            told = "; ".join(
                dict.fromkeys(_explained(dict(p), (*allowed, *also)) for p in error.errors())
            )
            raise self._error(path, told) from error

    def _filled(self, value: Any, path: str) -> Any:
        """Put the values of parameters where they are named."""
        if isinstance(value, list):
            return [self._filled(part, path) for part in value]
        if not (isinstance(value, str) and re.fullmatch(r"\$\w+", value)):
            return value
        name = value[1:]
        if name not in self._parameters:
            hint = nearest(name, list(self._parameters))
            raise self._error(path, f"there is no parameter {name}{hint}")
        if self._parameters[name] is None:
            raise self._error(path, f"the parameter {name} has no value: say --set {name}=VALUE")
        return self._parameters[name]

    def _error(self, path: str, told: str) -> SegmentError:
        return SegmentError(f"{self._where}: {path}: {told}")


def _explained(problem: dict[str, Any], allowed: tuple[str, ...]) -> str:
    place = [str(part) for part in problem["loc"] if "function-" not in str(part)]
    seen = problem["input"]
    key = place[0] if place else ""
    if problem["type"] == "extra_forbidden":
        return f"unknown key {key}; allowed: {', '.join(allowed)}{nearest(key, allowed)}"
    if problem["type"] == "missing":
        return f"{key} is missing"
    message = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "value_error":
        return f"{key}: {message}" if key else message
    if problem["type"] == "literal_error":
        known = re.findall(r"'([^']*)'", str(problem["ctx"]["expected"]))
        return f"{key} = {seen!r} is none of {', '.join(known)}{nearest(str(seen), known)}"
    if key in COMPARISONS:
        return f"{key} = {seen!r}: {_wanted(key)}"
    return f"{key} = {seen!r}: {message}"


def _wanted(key: str) -> str:
    if key == "is_null":
        return "wants true or false"
    if key in ("contains", "in"):
        return "wants a list of plain values"
    return "wants " + ("two numbers or times" if key == "between" else "a number or a time")
