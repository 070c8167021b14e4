"""Who a compiled condition holds of.

A condition that reads one source alone is asked there, before anything is joined. Where a source
says no to users that it does not know, it says who can be in at all, and sources are joined by what
is left of each; where it says yes to them, those whom it says anything else of are taken away.
Only what compares several sources is asked after the join. So a segment of ten million users costs
the columns that it reads, and little more.
"""

from collections.abc import Sequence

import polars as pl

from recsys.segments.compiled import Compiled, Source
from recsys.segments.tables import SegmentTables

# More conditions than a segment has.
_MOST = 1_000_000


def members(compiled: Compiled, tables: SegmentTables) -> pl.LazyFrame:
    """Return `user_id` of everybody a condition is known to hold of, each once, in no order."""
    return _joined(compiled, tables, []).select("user_id")


def known_values(compiled: Compiled, column: str, tables: SegmentTables) -> pl.LazyFrame:
    """Return `user_id, value` of everybody a condition holds of, where the value is known."""
    found = _joined(compiled, tables, [column]).select("user_id", value=pl.col(column))
    if found.collect_schema()["value"].is_float():
        found = found.filter(pl.col("value").is_not_nan())
    return found.filter(pl.col("value").is_not_null())


def evaluated(compiled: Compiled, users: pl.LazyFrame) -> pl.LazyFrame:
    """Return the columns of all sources for some users, with defaults where they are in none.

    Args:
        compiled: What is asked.
        users: `user_id`, each once.
    """
    found = users
    for source in compiled.sources:
        of_users = source.frame.join(users, on="user_id", how="semi")
        found = _with_columns_of(found, source, of_users)
    return found


def _joined(compiled: Compiled, tables: SegmentTables, keep: Sequence[str]) -> pl.LazyFrame:
    """Return `user_id`, columns that are kept, and of sources that are compared, of all members."""
    own: list[list[pl.Expr]] = [[] for _ in compiled.sources]
    mixed: list[pl.Expr] = []
    for conjunct in compiled.conjuncts:
        names = _columns(conjunct)
        places = [n for n, source in enumerate(compiled.sources) if names & set(source.columns)]
        if len(places) == 1 and not _depends_on_id(compiled.sources[places[0]], conjunct):
            own[places[0]].append(conjunct)
        else:
            mixed.append(conjunct)
    needed = {name for conjunct in mixed for name in _columns(conjunct)} | set(keep)
    inner: list[tuple[int, pl.LazyFrame]] = []
    taken_away, later = [], []
    for source, conjuncts in zip(compiled.sources, own, strict=True):
        wanted = [name for name in source.columns if name in needed]
        if any(not _holds_of_unknown(source, conjunct) for conjunct in conjuncts):
            kept = source.frame.filter(conjuncts).select("user_id", *wanted)
            # What is counted from rows is of fewer users than what is known of everybody.
            few = -_MOST if source.is_counted else -len(conjuncts)
            inner.append((_MOST if wanted else few, kept))
            continue
        if conjuncts:
            is_in = pl.all_horizontal(conjuncts).fill_null(value=False)
            taken_away.append(source.frame.filter(~is_in).select("user_id"))
        if wanted:
            later.append(source)
    found = _in_all([frame for _, frame in sorted(inner, key=lambda ranked: ranked[0])])
    found = tables.everybody() if found is None else found
    for other in taken_away:
        found = found.join(other, on="user_id", how="anti")
    for source in later:
        found = _with_columns_of(found, source, source.frame)
    return found.filter(mixed) if mixed else found


def _in_all(frames: Sequence[pl.LazyFrame]) -> pl.LazyFrame | None:
    """Join frames, the smallest first, those with more than `user_id` last; None without any.

    A semi-join by those found so far holds nothing but them, however large the next frame is.
    """
    found = None
    for frame in frames:
        if found is None:
            found = frame
        elif found.collect_schema().names() == ["user_id"]:
            found = frame.join(found, on="user_id", how="semi")
        else:
            found = found.join(frame, on="user_id", how="inner")
    return found


def _with_columns_of(found: pl.LazyFrame, source: Source, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Join a source's columns, with defaults of users whom it has no row of.

    A row with an unknown value keeps it unknown.
    """
    filled = {name: value for name, value in source.defaults.items() if value is not None}
    if not filled:
        return found.join(rows, on="user_id", how="left")
    marked = rows.with_columns(_known=pl.lit(value=True))
    return (
        found.join(marked, on="user_id", how="left")
        .with_columns(
            pl.when(pl.col("_known")).then(pl.col(name)).otherwise(pl.lit(value)).alias(name)
            for name, value in filled.items()
        )
        .drop("_known")
    )


def _columns(expression: pl.Expr) -> set[str]:
    return set(expression.meta.root_names()) - {"user_id"}


def _depends_on_id(source: Source, conjunct: pl.Expr) -> bool:
    """Tell whether of users whom a source has no row of some may be in and others not."""
    is_known = any(value is not None for value in source.defaults.values())
    return is_known and "user_id" in conjunct.meta.root_names()


def _holds_of_unknown(source: Source, conjunct: pl.Expr) -> bool:
    """Tell whether a condition holds of users whom a source has no row of."""
    schema = source.frame.collect_schema()
    row = pl.DataFrame(
        {"user_id": ["\x00"], **{name: [value] for name, value in source.defaults.items()}},
        schema=schema,
    )
    return row.select(conjunct).item() is True
