"""From a condition to Polars: where its values are read, and what is to hold of them.

Logic has three values (Kleene): a comparison with an unknown value is unknown; `all` is false where
any part is false, `any` true where any part is true, else unknown where a part is; `not` of unknown
is unknown. Whoever a condition is not known to hold of is out: neither a segment nor its opposite
takes people of whom too little is known. `is_null` alone asks about the unknown.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import polars as pl

from recsys.errors import SegmentError
from recsys.segments.comparing import check_type, compared
from recsys.segments.compiled import Asked, Compiled, Source
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
)
from recsys.segments.rankings import rank_limits
from recsys.segments.selecting import known_values, members
from recsys.segments.sequences import sequence_frame
from recsys.segments.tables import SegmentTables
from recsys.segments.value_frames import ValueFrame, value_frame
from recsys.segments.values import Value


class NearUsers(Protocol):
    """Finds users by a two-tower; see `recsys.segments.tower_space`."""

    def lookalikes(self, seeds: pl.Series, *, top: int, include_seeds: bool) -> pl.DataFrame:
        """Return `user_id, score, value`: whether each user is among the nearest."""
        ...

    def audience(self, asked: Audience, *, where: str) -> pl.DataFrame:
        """Return `user_id, score, value`: whether each user is among the likeliest."""
        ...


def compile_condition(
    condition: Condition,
    tables: SegmentTables,
    *,
    where: str,
    near: Callable[[], NearUsers] | None = None,
) -> Compiled:
    """Compile a condition.

    What needs all users at once (sequences, ranks, lookalikes, audiences) is found now; everything
    else is lazy.

    Args:
        condition: What is asked.
        tables: As of a moment.
        where: File and segment, for messages.
        near: Opens the two-tower space, where a condition needs it.

    Raises:
        SegmentError: A table or column that is needed is not there, or cannot be compared so.
    """
    compiler = _Compiler(tables, where, near)
    parts = condition.all if isinstance(condition, All) else [condition]
    is_all = isinstance(condition, All)
    conjuncts = [
        compiler.compile(part, f"where.all[{number}]" if is_all else "where")
        for number, part in enumerate(parts)
    ]
    return Compiled(
        conjuncts=conjuncts,
        says=[part.says() for part in parts],
        sources=compiler.sources(),
        asked=compiler.asked,
        holds=pl.all_horizontal(conjuncts),
    )


@dataclass
class _Compiler:
    tables: SegmentTables
    where: str
    near: Callable[[], NearUsers] | None
    asked: list[Asked] = field(default_factory=list)
    _values: dict[str, dict[str, tuple[str, ValueFrame]]] = field(default_factory=dict)

    def compile(self, condition: Condition, path: str) -> pl.Expr:
        says = condition.says()
        match condition:
            case All(all=parts):
                return pl.all_horizontal(
                    [self.compile(part, f"{path}.all[{n}]") for n, part in enumerate(parts)]
                )
            case Any_(any=parts):
                return pl.any_horizontal(
                    [self.compile(part, f"{path}.any[{n}]") for n, part in enumerate(parts)]
                )
            case Not(not_=part):
                return ~self.compile(part, f"{path}.not")
            case Compare():
                column, dtype = self._column(condition.value, path)
                check_type(condition.comparison, dtype, self._where(path))
                holds = compared(pl.col(column), condition.comparison, dtype)
            case Sequence():
                column = self._add(
                    ValueFrame(
                        source=repr(condition),
                        frame=sequence_frame(condition, self.tables, self._where(path)),
                        column="value",
                        default=False,
                    )
                )
                holds = pl.col(column)
            case Rank():
                column, holds, limit = self._rank(condition, path)
                says += f", {limit}"
            case Lookalike() | Audience():
                column, holds = self._near(condition, path)
        self.asked.append(Asked(path=path, says=says, column=column, holds=holds))
        return holds

    def sources(self) -> list[Source]:
        """Return each frame once, with the columns that conditions read of it."""
        found = []
        for read in self._values.values():
            first = next(iter(read.values()))[1]
            columns = [pl.col(old).alias(new) for old, (new, _) in read.items()]
            defaults = {new: value.default for new, value in read.values()}
            frame = first.frame.select("user_id", *columns)
            found.append(Source(frame=frame, defaults=defaults, is_counted=first.is_counted))
        return found

    def _add(self, value: ValueFrame) -> str:
        read = self._values.setdefault(value.source, {})
        if value.column not in read:
            number = sum(map(len, self._values.values()))
            read[value.column] = (f"_v{number}", value)
        return read[value.column][0]

    def _column(self, value: Value, path: str) -> tuple[str, pl.DataType]:
        found = value_frame(value, self.tables, self._where(path))
        dtype = found.frame.collect_schema()[found.column]
        return self._add(found), dtype

    def _rank(self, condition: Rank, path: str) -> tuple[str, pl.Expr, str]:
        column, dtype = self._column(condition.rank, f"{path}.rank")
        if not dtype.is_numeric():
            raise SegmentError(f"{self._where(path)}: {condition.rank.says()} is {dtype}: no rank")
        among = None
        if condition.among is not None:
            outside = len(self.asked)
            among = self.compile(condition.among, f"{path}.among")
            del self.asked[outside:]
        compiled = Compiled(
            conjuncts=[pl.col(column).is_not_null(), *([] if among is None else [among])],
            says=[],
            sources=self.sources(),
            asked=[],
            holds=pl.lit(value=True),
        )
        limits = rank_limits(condition, known_values(compiled, column, self.tables))
        holds = limits.holds(pl.col(column).fill_nan(None) if dtype.is_float() else pl.col(column))
        # Who is not among those ranked is as unknown as who has no value.
        ranked = holds if among is None else pl.when(among).then(holds)
        return column, ranked, limits.says()

    def _near(self, condition: Lookalike | Audience, path: str) -> tuple[str, pl.Expr]:
        if self.near is None:
            raise SegmentError(
                f"{self._where(path)} needs a live bundle: run `sentirec train` and "
                "`sentirec publish` first"
            )
        if isinstance(condition, Audience):
            found = self.near().audience(condition, where=self._where(path))
        else:
            found = self.near().lookalikes(
                self._seeds(condition, path),
                top=condition.top,
                include_seeds=condition.include_seeds,
            )
        source = repr(condition)
        score = self._add(ValueFrame(source=source, frame=found.lazy(), column="score"))
        value = self._add(ValueFrame(source=source, frame=found.lazy(), column="value"))
        return score, pl.col(value)

    def _seeds(self, condition: Lookalike, path: str) -> pl.Series:
        if isinstance(condition.lookalike, list):
            return pl.Series("user_id", condition.lookalike, dtype=pl.String)
        inner = compile_condition(
            condition.lookalike, self.tables, where=f"{self._where(path)}.lookalike", near=self.near
        )
        return members(inner, self.tables).collect(engine="streaming")["user_id"].sort()

    def _where(self, path: str) -> str:
        return f"{self.where}: {path}"
