"""What a value is held against."""

from datetime import datetime
from math import isfinite
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from recsys.segments.parts import Moment, Names, Part, each_once, joined, plain, shown, zoned

Plain = bool | int | float | str | Annotated[datetime, BeforeValidator(zoned)]
_WORDS = {
    "above": "> {}",
    "at_least": ">= {}",
    "below": "< {}",
    "at_most": "<= {}",
    "equals": "= {}",
    "in": "one of {}",
    "contains": "contains {}",
}


class Comparison(Part):
    """What a value is held against. `between` has both ends; NaN is unknown, like null.

    Attributes:
        contains: Of a list: any of these is in it.
        is_null: Whether the value is unknown: the only question that unknown values answer.
    """

    above: float | Moment | None = None
    at_least: float | Moment | None = None
    below: float | Moment | None = None
    at_most: float | Moment | None = None
    between: list[float | Moment] | None = Field(default=None, min_length=2, max_length=2)
    equals: Plain | None = None
    in_: list[Plain] | None = Field(default=None, alias="in", min_length=1)
    contains: Names | None = None
    is_null: bool | None = None

    @model_validator(mode="after")
    def _is_one_question(self) -> "Comparison":
        given = set(self.given())
        low, high = given & {"above", "at_least"}, given & {"below", "at_most"}
        others = given - low - high
        if not given:
            raise ValueError(f"no comparison: say one of {', '.join(COMPARISONS)}")
        if len(low) > 1 or len(high) > 1 or len(others) > 1 or (others and low | high):
            raise ValueError(
                f"{' and '.join(sorted(given))} do not go together: one lower and one upper bound "
                "do"
            )
        self._check_values()
        return self

    def _check_values(self) -> None:
        """Refuse what is no value, and bounds that nothing lies within."""
        for name, value in self.given().items():
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, float) and not isfinite(one):
                    raise ValueError(
                        f"{name} = {one}: unknown values are asked for by is_null, and every "
                        "number is below infinity"
                    )
                if isinstance(one, int) and not -(2**63) <= one < 2**63:
                    raise ValueError(f"{name} = {one}: a whole number has at most 64 bits")
        low, high = self.between or (
            self.at_least if self.above is None else self.above,
            self.at_most if self.below is None else self.below,
        )
        if low is None or high is None:
            return
        if isinstance(low, datetime) != isinstance(high, datetime):
            raise ValueError(f"{shown(low)} and {shown(high)}: both are numbers, or both times")
        is_open = self.above is not None or self.below is not None
        if low > high or (is_open and low == high):  # type: ignore[operator]
            raise ValueError(
                f"no value is {self.says()}: the lower bound {shown(low)} comes first, and has to "
                f"be below the upper one, {shown(high)}"
            )

    def given(self) -> dict[str, Any]:
        """Return the keys that are set, by the names that files have."""
        found = {name: getattr(self, name) for name in type(self).model_fields}
        return {name.rstrip("_"): value for name, value in found.items() if value is not None}

    def told(self) -> Any:
        """Return JSON types; times as `{"time": ISO 8601}`, which no text is; see `Part.told`."""
        content = {}
        for name, value in self.given().items():
            if isinstance(value, list) and name != "between":
                content[name] = each_once([_told(one) for one in value])
            else:
                content[name] = _told(value)
        return content

    def says(self) -> str:
        """Return it in words."""
        said = []
        for name, value in self.given().items():
            if name == "is_null":
                said.append("is unknown" if value else "is known")
            elif name == "between":
                said.append("from {} to {}".format(*map(shown, value)))
            else:
                told = joined(value) if isinstance(value, list) else shown(value)
                said.append(_WORDS[name].format(told))
        return " and ".join(said)


def _told(value: Any) -> Any:
    if isinstance(value, list):
        return [_told(one) for one in value]
    return {"time": value.isoformat()} if isinstance(value, datetime) else plain(value)


COMPARISONS = tuple(field.alias or name for name, field in Comparison.model_fields.items())
