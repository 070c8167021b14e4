"""What a segment may ask: comparisons of values, sets of users, and/or/not.

Each model says itself: `says()` is the condition in words, `told()` is canonical JSON types. An
unknown value makes a comparison neither true nor false (see `recsys.segments.compiling`).
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, model_validator

from recsys.segments.values import Days, EventTypes, Moment, Names, Part, Value, joined, shown

Plain = bool | int | float | str | datetime
Share = Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]

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
        return self

    def given(self) -> dict[str, Any]:
        """Return the keys that are set, by the names that files have."""
        found = {name: getattr(self, name) for name in type(self).model_fields}
        return {name.rstrip("_"): value for name, value in found.items() if value is not None}

    def told(self) -> Any:
        """Return JSON types; lists whose order says nothing in their order."""
        content = super().told()
        for key in ("in", "contains"):
            if key in content:
                content[key] = sorted(content[key], key=repr)
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


COMPARISONS = tuple(field.alias or name for name, field in Comparison.model_fields.items())


class Compare(Part):
    """A value, and what it is held against."""

    value: Value
    comparison: Comparison

    def told(self) -> Any:
        """Return JSON types."""
        return self.value.told() | self.comparison.told()

    def says(self) -> str:
        """Return it in words."""
        return f"{self.value.says()} {self.comparison.says()}"


class Step(Part):
    """One step of a sequence: so many events, within so long of the step before."""

    events: EventTypes
    item: Names | None = None
    brand: Names | None = None
    category: Names | None = None
    count: int = Field(default=1, ge=1, le=1000)
    within_days: Days | None = None
    never: bool = False
    """None of these happened; for the last step only, with `within_days`."""

    def says(self) -> str:
        """Return it in words."""
        of = [
            f" of {name} {joined(values)}"
            for name in ("item", "brand", "category")
            if (values := getattr(self, name))
        ]
        times = "no" if self.never else f"{self.count} x"
        within = f" within {self.within_days:g} days" if self.within_days else ""
        return f"{times} {joined(self.events)}{''.join(of)}{within}"


class Sequence(Part):
    """Steps one after another; unknown while a window that decides it is not over."""

    sequence: list[Step] = Field(min_length=2, max_length=10)
    last_days: Days | None = None
    same_item: bool = False
    """All steps are about one item, whichever."""

    @model_validator(mode="after")
    def _ends_well(self) -> "Sequence":
        for place, step in enumerate(self.sequence):
            is_last = place == len(self.sequence) - 1
            if step.never and (not is_last or step.within_days is None or step.count != 1):
                raise ValueError(
                    f"step {place + 1}: never = true is for the last step, without count, and "
                    "needs within_days"
                )
        return self

    def told(self) -> Any:
        """Return JSON types."""
        return super().told() | {"sequence": [step.told() for step in self.sequence]}

    def says(self) -> str:
        """Return it in words."""
        said = ", then ".join(step.says() for step in self.sequence)
        same = " of one item" if self.same_item else ""
        return said + same + (f", in the last {self.last_days:g} days" if self.last_days else "")


class Rank(Part):
    """The users with the highest or lowest values; of equal ones those whose id sorts first.

    Of N users with a known value, `top_percent = P` is the first floor(N P / 100). `among` says
    who is ranked; absent, everybody with a known value.
    """

    rank: Value
    top: int | None = Field(default=None, ge=1)
    bottom: int | None = Field(default=None, ge=1)
    top_percent: Share | None = None
    bottom_percent: Share | None = None
    among: "Condition | None" = None

    @model_validator(mode="after")
    def _is_one_question(self) -> "Rank":
        given = [name for name in RANKS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"rank needs one of {', '.join(RANKS)}, not {given or 'none'}")
        return self

    def told(self) -> Any:
        """Return JSON types."""
        limits = {n: getattr(self, n) for n in RANKS if getattr(self, n) is not None}
        among = {} if self.among is None else {"among": self.among.told()}
        return {"rank": self.rank.told()} | limits | among

    def says(self) -> str:
        """Return it in words."""
        name = next(n for n in RANKS if getattr(self, n) is not None)
        which, _, percent = name.partition("_")
        among = "" if self.among is None else f", among those with {self.among.says()}"
        unit = "%" if percent else ""
        return f"{which} {getattr(self, name):g}{unit} by {self.rank.says()}{among}"


RANKS = ("top", "bottom", "top_percent", "bottom_percent")


class Lookalike(Part):
    """Users nearest to seeds in the two-tower space: the greatest cosine with their mean."""

    lookalike: "Names | Condition"
    """Ids of users, or a condition; `{segment = NAME}` is one."""
    top: int = Field(ge=1)
    include_seeds: bool = False

    def told(self) -> Any:
        """Return JSON types."""
        seeds = self.lookalike
        told = sorted(seeds) if isinstance(seeds, list) else seeds.told()
        extra = {"include_seeds": True} if self.include_seeds else {}
        return {"lookalike": told, "top": self.top} | extra

    def says(self) -> str:
        """Return it in words."""
        seeds = self.lookalike
        told = f"{len(seeds)} seeds" if isinstance(seeds, list) else f"those with {seeds.says()}"
        return f"the {self.top:g} nearest to {told}"


class Audience(Part):
    """Users most likely to want an item and to love it.

    The softmax of two-tower scores times the predicted chance that they will be satisfied with it.
    """

    audience: str
    """An item."""
    top: int = Field(ge=1)
    min_satisfaction: float = Field(default=0.0, ge=0, le=1)
    include_buyers: bool = False

    def says(self) -> str:
        """Return it in words."""
        least = f", satisfied with a chance of at least {self.min_satisfaction:g}"
        return f"the {self.top:g} likeliest to want and love item {self.audience}" + (
            least if self.min_satisfaction else ""
        )


class All(Part):
    """Every one of these holds."""

    all: list["Condition"] = Field(min_length=1)

    def told(self) -> Any:
        """Return JSON types; the order of conditions says nothing."""
        return {"all": sorted((part.told() for part in self.all), key=repr)}

    def says(self) -> str:
        """Return it in words."""
        return "(" + " and ".join(part.says() for part in self.all) + ")"


class Any_(Part):
    """At least one of these holds."""

    any: list["Condition"] = Field(min_length=1)

    def told(self) -> Any:
        """Return JSON types; the order of conditions says nothing."""
        return {"any": sorted((part.told() for part in self.any), key=repr)}

    def says(self) -> str:
        """Return it in words."""
        return "(" + " or ".join(part.says() for part in self.any) + ")"


class Not(Part):
    """This is known not to hold."""

    not_: "Condition" = Field(alias="not")

    def told(self) -> Any:
        """Return JSON types."""
        return {"not": self.not_.told()}

    def says(self) -> str:
        """Return it in words."""
        return f"not {self.not_.says()}"


SetOfUsers = Sequence | Rank | Lookalike | Audience
Condition = Compare | Sequence | Rank | Lookalike | Audience | All | Any_ | Not
for _model in (Rank, Lookalike, All, Any_, Not):
    _model.model_rebuild()


def leaves(condition: "Condition", path: str = "where") -> Iterator[tuple[str, Any]]:
    """Yield what and/or/not join, each with its path, in the order of the definition."""
    match condition:
        case All(all=parts):
            for number, part in enumerate(parts):
                yield from leaves(part, f"{path}.all[{number}]")
        case Any_(any=parts):
            for number, part in enumerate(parts):
                yield from leaves(part, f"{path}.any[{number}]")
        case Not(not_=part):
            yield from leaves(part, f"{path}.not")
        case _:
            yield path, condition
