"""What a segment may ask: comparisons of values, sets of users, and/or/not.

Each model says itself: `says()` is the condition in words, `told()` is canonical JSON types. An
unknown value makes a comparison neither true nor false (see `recsys.segments.compiling`).
"""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field, model_validator

from recsys.segments.comparison import Comparison
from recsys.segments.parts import Days, Names, Part, each_once, joined, plain
from recsys.segments.values import EventTypes, Value

Share = Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]

MOST_USERS = 2**32 - 1
"""More rows than this no table of Polars has."""
Users = Annotated[int, Field(ge=1, le=MOST_USERS)]


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
    who is ranked; absent, everybody with a known value. Of who is not ranked it is unknown.
    """

    rank: Value
    top: Users | None = None
    bottom: Users | None = None
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
        limits = {n: plain(getattr(self, n)) for n in RANKS if getattr(self, n) is not None}
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
    top: Users
    include_seeds: bool = False

    def told(self) -> Any:
        """Return JSON types."""
        seeds = self.lookalike
        told = each_once(seeds) if isinstance(seeds, list) else seeds.told()
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
    top: Users
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
        """Return JSON types; order, repetition and brackets of conditions say nothing."""
        return _joint("all", [part.told() for part in self.all])

    def says(self) -> str:
        """Return it in words."""
        return "(" + " and ".join(part.says() for part in self.all) + ")"


class Any_(Part):
    """At least one of these holds."""

    any: list["Condition"] = Field(min_length=1)

    def told(self) -> Any:
        """Return JSON types; order, repetition and brackets of conditions say nothing."""
        return _joint("any", [part.told() for part in self.any])

    def says(self) -> str:
        """Return it in words."""
        return "(" + " or ".join(part.says() for part in self.any) + ")"


def _joint(kind: str, parts: list[Any]) -> Any:
    """Return conditions that are joined: those that hold more of the kind with what they hold."""
    flat = [inner for part in parts for inner in (part[kind] if set(part) == {kind} else [part])]
    found = each_once(flat)
    return found[0] if len(found) == 1 else {kind: found}


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
