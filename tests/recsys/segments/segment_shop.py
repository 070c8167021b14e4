"""A few users whose every row is known, and segments asked of them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from features.schema import TABLES
from recsys.segments.compiled import Compiled
from recsys.segments.compiling import compile_condition
from recsys.segments.conditions import Condition
from recsys.segments.definition import Definitions
from recsys.segments.definition_files import SegmentText
from recsys.segments.selecting import evaluated, members
from recsys.segments.tables import SegmentTables

NOW = datetime(2026, 5, 1, tzinfo=UTC)
DAY = timedelta(days=1)
Event = tuple[str, str, str | None, float]
"""User, type, item, days before now."""
ITEMS = {
    "guitar": (["Music", "Guitars"], "Tonewell", 50_000),
    "tuner": (["Music", "Tuners"], "Tonewell", 2_000),
    "lamp": (["Home", "Lamps"], "Glow", 3_000),
}


def events_of(rows: Sequence[Event]) -> pl.LazyFrame:
    """Return the events table; `seq` is the place in the list."""
    return _table(
        "events",
        [
            {
                "event_id": f"e{n}",
                "user_id": user,
                "event_type": kind,
                "item_id": item,
                "event_time": NOW - days * DAY,
                "seq": n,
            }
            for n, (user, kind, item, days) in enumerate(rows)
        ],
    )


def items_table() -> pl.LazyFrame:
    """Return the items table."""
    return _table(
        "items",
        [
            {"item_id": name, "categories": categories, "brand": brand, "price_cents": price}
            for name, (categories, brand, price) in ITEMS.items()
        ],
    )


def contacts_of(rows: list[tuple[str, str, float]]) -> pl.LazyFrame:
    """Return the contacts table of user, channel, days before now."""
    return _table(
        "contacts",
        [
            {"contact_id": f"c{n}", "user_id": u, "channel": c, "contacted_at": NOW - days * DAY}
            for n, (u, c, days) in enumerate(rows)
        ],
    )


def reviews_of(rows: list[tuple[str, str, float, float]]) -> dict[str, pl.LazyFrame]:
    """Return reviews and signals of user, item, days before now, polarity of the tuner aspect."""
    reviews = [
        {
            "review_id": f"r{n}",
            "user_id": user,
            "item_id": item,
            "rating": 3.0,
            "text": "words",
            "source": "review",
            "event_time": NOW - days * DAY,
            "seq": n,
        }
        for n, (user, item, days, _) in enumerate(rows)
    ]
    signals = pl.DataFrame(
        {
            "review_id": [f"r{n}" for n in range(len(rows))],
            "polarity": [polarity / 2 for *_, polarity in rows],
            "intensity": [abs(polarity) for *_, polarity in rows],
            "emotions": [{"anger": 0.9 if polarity < 0 else 0.0} for *_, polarity in rows],
            "aspects": [
                [{"aspect": "tuner", "polarity": polarity, "confidence": 0.9}]
                for *_, polarity in rows
            ],
            "needs": [[{"kind": "improvement"}] if p < 0 else [] for *_, p in rows],
            "embedding": [[1.0]] * len(rows),
        },
        schema={
            "review_id": pl.String,
            "polarity": pl.Float32,
            "intensity": pl.Float32,
            "emotions": pl.Struct({"anger": pl.Float32}),
            "aspects": pl.List(
                pl.Struct({"aspect": pl.String, "polarity": pl.Float32, "confidence": pl.Float32})
            ),
            "needs": pl.List(pl.Struct({"kind": pl.String})),
            "embedding": pl.List(pl.Float32),
        },
    )
    return {"reviews": _table("reviews", reviews), "signals": signals.lazy()}


def profiles_of(
    rows: dict[str, dict[str, Any]], *, as_of: datetime = NOW, **schema: Any
) -> pl.LazyFrame:
    """Return user profiles with the given columns."""
    names = sorted({name for row in rows.values() for name in row} | set(schema))
    kinds = {name: schema.get(name, pl.Float64) for name in names}
    frame = pl.DataFrame(
        [{"user_id": user, "as_of": as_of, **row} for user, row in rows.items()],
        schema={"user_id": pl.String, "as_of": pl.Datetime("us", "UTC"), **kinds},
    )
    return frame.lazy()


def tables_of(**frames: pl.LazyFrame) -> SegmentTables:
    """Return the given tables and the items, as of `NOW`."""
    return SegmentTables(frames={"items": items_table(), **frames}, as_of=NOW)


def parsed(where: Any, **others: Any) -> Condition:
    """Read a condition; others are further segments that it may name."""
    texts = [SegmentText(name="asked", source="own.toml", content={"where": where})]
    texts += [
        SegmentText(name=name.replace("_", "-"), source="own.toml", content={"where": content})
        for name, content in others.items()
    ]
    return Definitions(texts).definition("asked").condition


def compiled(where: Any, tables: SegmentTables, **others: Any) -> Compiled:
    """Read and compile a condition."""
    return compile_condition(parsed(where, **others), tables, where="own.toml: segment asked")


def selected(where: Any, tables: SegmentTables, **others: Any) -> list[str]:
    """Return the sorted members by the plan that joins little; each has to come once."""
    found = members(compiled(where, tables, **others), tables).collect()["user_id"]
    assert found.n_unique() == len(found)
    return sorted(found)


def truths(where: Any, tables: SegmentTables, **others: Any) -> dict[str, bool | None]:
    """Return what a condition is of everybody, by the plan that joins everything."""
    asked = compiled(where, tables, **others)
    rows = evaluated(asked, tables.everybody()).select("user_id", asked.holds.alias("holds"))
    return dict(rows.collect().iter_rows())


def _table(name: str, rows: list[dict[str, Any]]) -> pl.LazyFrame:
    schema = TABLES[name].create_empty().schema
    return pl.DataFrame(rows, schema=schema).lazy()
