"""How long profiles take to build, and how much memory: whole, added to, beside pandas and DuckDB.

python -m benchmarks.profiles [--events 20000000] [--folder F] [--json F]

Histories are generated: users and items are drawn with long tails, over two years; reviews come
with signals and embeddings of 64 numbers. Each figure is of a process of its own, which prints the
time from the first read to the last profile, and the most memory that the process ever held.

    whole       state of all rows, then profiles of all users and items
    a tenth     the same of every tenth event and review, by users: how time grows
    added       one percent of new events: their state, then profiles of whom and what they touch
    polars, pandas, duckdb    all that features of behaviour read of users, by day and then over
                              five windows and the whole past, of a tenth
"""

import json as json_module
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import polars as pl
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.harness import write
from features import behaviour
from features.day_state import day_state, read_features
from features.profile_state import (
    PARTS,
    ProfileState,
    joined_states,
    profile_state,
)
from features.profiles import item_profiles, user_affinities, user_profiles
from sentiment.emotions import SHOP_EMOTIONS

_START, _DAYS = datetime(2024, 1, 1, tzinfo=UTC), 730
_AS_OF = _START + timedelta(days=_DAYS + 1)
_CHUNK = 1_000_000
_DIM = 64
_KINDS = np.array(["view", "cart", "purchase", "return"])
_TIMES = {"first": "min", "last": "max", "last_purchase": "max"}
_KIND_SHARES = (0.8, 0.08, 0.11, 0.01)
_MEASURED = ("whole", "a tenth", "added", "polars", "pandas", "duckdb")
app = typer.Typer()


@app.command()
def main(
    events: Annotated[int, typer.Option(help="Events; a tenth as many reviews.")] = 20_000_000,
    folder: Annotated[Path | None, typer.Option(help="Where histories are kept.")] = None,
    only: Annotated[str | None, typer.Option(help="One of the measured things.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    """Generate histories, unless they are there, and measure everything once."""
    with tempfile.TemporaryDirectory() as scratch:
        place = folder or Path(scratch)
        if not (place / "tenth" / "events.parquet").exists():
            _generate(place, events)
        wanted = _MEASURED if only is None else (only,)
        figures = {name: _in_a_process(name, place) for name in wanted}
    table = Table("", "seconds", "most memory, GB", title=f"{events:,} events")
    for name, found in figures.items():
        told = found.get("left_out")
        table.add_row(
            name,
            told or f"{found['seconds']:.1f}",
            "" if told else f"{found['memory_gb']:.2f}",
        )
    Console(width=100).print(table)
    write(json, {"metrics": figures, "data": {"events": events}})


def _in_a_process(name: str, folder: Path) -> dict:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.profiles", "--measure", name, str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if "ModuleNotFoundError" in done.stderr:
        return {"left_out": done.stderr.strip().splitlines()[-1][:60]}
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr}")
    return json_module.loads(done.stdout)


def _measure(name: str, folder: Path) -> None:
    start = time.perf_counter()
    rows = _RUNS[name](folder)
    seconds = time.perf_counter() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(json_module.dumps({"seconds": seconds, "memory_gb": memory, "rows": rows}))


def _whole(folder: Path) -> int:
    state = _collected(profile_state(*_tables(folder)), folder)
    return _profiles(folder, state)


def _added(folder: Path) -> int:
    """The whole state lies there already; new events touch some users and items."""
    kept = ProfileState(**{name: pl.scan_parquet(folder / f"{name}.parquet") for name in PARTS})
    items, _, reviews, signals = _tables(folder)
    new = pl.scan_parquet(folder / "new_events.parquet")
    added = profile_state(items, new, reviews.head(0), signals.head(0))
    touched = {key: new.select(key).unique() for key in ("user_id", "item_id")}
    of_key = {name: "item_id" if name.startswith("item") else "user_id" for name in PARTS}
    some = {
        name: part.join(touched[of_key[name]], on=of_key[name], how="semi")
        for name, part in kept.parts().items()
    }
    return _profiles(folder, joined_states([ProfileState(**some), added]), touched["item_id"])


def _profiles(folder: Path, state: ProfileState, only: pl.LazyFrame | None = None) -> int:
    items = pl.scan_parquet(folder / "items.parquet")
    asked = items if only is None else items.join(only, on="item_id", how="semi")
    of_users = user_profiles(state, _AS_OF, user_affinities(items, state, _AS_OF))
    return len(item_profiles(asked, state, _AS_OF)) + len(of_users)


def _collected(state: ProfileState, folder: Path) -> ProfileState:
    """Write each part, streaming, and read it from there."""
    kept = {}
    for name, part in state.parts().items():
        part.sink_parquet(folder / f"{name}.parquet")
        kept[name] = pl.scan_parquet(folder / f"{name}.parquet")
    return ProfileState(**kept)


def _polars(folder: Path) -> int:
    events = pl.scan_parquet(folder / "tenth" / "events.parquet")
    priced = events.with_columns(list_price_cents=pl.lit(None, dtype=pl.Int64))
    state = day_state(priced, "user_id", behaviour.MEASURES)
    read = read_features(
        state, "user_id", behaviour.MEASURES, behaviour.USER_BEHAVIOUR, as_of=_AS_OF
    )
    return len(read.collect(engine="streaming"))


def _pandas(folder: Path) -> int:
    import pandas as pd

    frame = pd.read_parquet(
        folder / "tenth" / "events.parquet",
        columns=["user_id", "event_type", "event_time", "price_cents", "quantity"],
    )
    rows = pd.get_dummies(frame["event_type"]).astype("int64")
    bought = frame["event_type"] == "purchase"
    rows["spend"] = (frame["price_cents"] * frame["quantity"]).where(bought)
    rows["prices"] = frame["price_cents"].where(bought)
    rows["priced"] = rows["prices"].notna().astype("int64")
    rows["first"] = rows["last"] = frame["event_time"]
    rows["last_purchase"] = frame["event_time"].where(bought)
    rows["user_id"], rows["day"] = frame["user_id"], frame["event_time"].dt.floor("D")
    sums = [*_KINDS, "spend", "prices", "priced"]
    gathered = dict.fromkeys(sums, "sum") | _TIMES
    days: Any = rows.groupby(["user_id", "day"], as_index=False).agg(gathered)
    found = [days.groupby("user_id").agg(gathered)]
    windowed = ["user_id", *_KINDS, "spend"]
    for window in behaviour.WINDOWS_DAYS:
        late = days[days["day"] >= pd.Timestamp(_AS_OF - timedelta(days=window))]
        found.append(late[windowed].groupby("user_id").sum())
    return len(pd.concat(found, axis=1))


def _duckdb(folder: Path) -> int:
    import duckdb

    path = folder / "tenth" / "events.parquet"
    bought = "filter (event_type = 'purchase')"
    of_kind = [f"count(*) filter (event_type = '{kind}') as {kind}" for kind in _KINDS]
    of_price = [
        f"sum(price_cents * quantity) {bought} as spend",
        f"sum(price_cents) {bought} as prices",
        f"count(price_cents) {bought} as priced",
    ]
    of_time = [
        "min(event_time) as first",
        "max(event_time) as last",
        f"max(event_time) {bought} as last_purchase",
    ]
    sums = [f"sum({name})" for name in (*_KINDS, "spend", "prices", "priced")]
    times = [f"{how}({name})" for name, how in _TIMES.items()]
    windows = [
        f"sum({name}) filter (day >= date '{(_AS_OF - timedelta(days=window)).date()}')"
        for window in behaviour.WINDOWS_DAYS
        for name in (*_KINDS, "spend")
    ]
    connection = duckdb.connect(config={"threads": 2})
    query = f"""
        with days as (
            select user_id, cast(event_time as date) as day,
                   {", ".join([*of_kind, *of_price, *of_time])}
            from '{path}' group by all
        )
        select user_id, {", ".join([*sums, *times, *windows])} from days group by user_id
    """
    return len(connection.sql(query).pl())


_RUNS: dict[str, Callable[[Path], int]] = {
    "whole": _whole,
    "a tenth": lambda folder: _whole(folder / "tenth"),
    "added": _added,
    "polars": _polars,
    "pandas": _pandas,
    "duckdb": _duckdb,
}


def _tables(folder: Path) -> tuple[pl.LazyFrame, pl.LazyFrame, pl.LazyFrame, pl.LazyFrame]:
    names = ("items", "events", "reviews", "signals")
    return tuple(pl.scan_parquet(folder / f"{name}.parquet") for name in names)  # type: ignore[return-value]


def _generate(folder: Path, num_events: int) -> None:
    num_users, num_items = max(100, num_events // 20), max(50, num_events // 100)
    (folder / "tenth").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    items = _items(rng, num_items)
    for place in (folder, folder / "tenth"):
        items.write_parquet(place / "items.parquet")
    for name, num, make in (
        ("events", num_events, _events),
        ("reviews", num_events // 10, _reviews),
    ):
        parts = folder / f"{name}_parts"
        parts.mkdir(exist_ok=True)
        for number, first in enumerate(range(0, num, _CHUNK)):
            size = min(_CHUNK, num - first)
            make(rng, first, size, num_users, num_items).write_parquet(
                parts / f"{number:04}.parquet"
            )
        whole = pl.scan_parquet(parts / "*.parquet")
        whole.sink_parquet(folder / f"{name}.parquet")
        tenth = whole.filter(pl.col("user_id").str.ends_with("7"))
        tenth.sink_parquet(folder / "tenth" / f"{name}.parquet")
    _signals(folder, rng)
    new = _events(rng, num_events, max(1, num_events // 100), num_users, num_items)
    new.write_parquet(folder / "new_events.parquet")


def _users_and_items(
    rng: np.random.Generator, size: int, num_users: int, num_items: int
) -> dict[str, list[str] | pl.Series]:
    users = np.minimum(rng.pareto(2.0, size) * num_users / 8, num_users - 1).astype(np.int64)
    some = np.minimum(rng.pareto(1.2, size) * num_items / 30, num_items - 1).astype(np.int64)
    scattered = (users * 7919) % num_users
    return {
        "user_id": pl.Series(scattered).cast(pl.String),
        "item_id": pl.select(pl.format("i{}", pl.Series(some))).to_series(),
    }


def _times(rng: np.random.Generator, size: int) -> pl.Series:
    micros = (rng.random(size) * _DAYS * 86_400e6).astype(np.int64)
    start = int(_START.timestamp() * 1e6)
    return pl.Series(micros + start).cast(pl.Datetime("us", "UTC"))


def _events(
    rng: np.random.Generator, first: int, size: int, num_users: int, num_items: int
) -> pl.DataFrame:
    kinds = rng.choice(len(_KINDS), size, p=_KIND_SHARES)
    return pl.DataFrame(
        {
            "event_id": pl.int_range(first, first + size, eager=True).cast(pl.String),
            **_users_and_items(rng, size, num_users, num_items),
            "event_type": pl.Series(_KINDS[kinds]),
            "quantity": pl.Series(np.ones(size, dtype=np.int32)),
            "price_cents": pl.Series(rng.integers(100, 20_000, size)),
            "event_time": _times(rng, size),
        }
    )


def _reviews(
    rng: np.random.Generator, first: int, size: int, num_users: int, num_items: int
) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "review_id": pl.select(
                pl.format("r{}", pl.int_range(first, first + size, eager=True))
            ).to_series(),
            **_users_and_items(rng, size, num_users, num_items),
            "source": pl.repeat("review", size, eager=True),
            "rating": pl.Series(rng.integers(1, 6, size)).cast(pl.Float32),
            "event_time": _times(rng, size),
            "seq": pl.int_range(first, first + size, eager=True),
        }
    )


def _signals(folder: Path, rng: np.random.Generator) -> None:
    """Signals of all reviews, in chunks."""
    ids = pl.read_parquet(folder / "reviews.parquet", columns=["review_id"])
    parts = folder / "signals_parts"
    parts.mkdir(exist_ok=True)
    for number, chunk in enumerate(ids.iter_slices(_CHUNK // 4)):
        size = len(chunk)
        emotions = [pl.Series(name, rng.random(size, dtype=np.float32)) for name in SHOP_EMOTIONS]
        vectors = rng.standard_normal((size, _DIM), dtype=np.float32)
        chunk.with_columns(
            pl.Series("language", ["en"] * size),
            pl.Series("polarity", rng.uniform(-1, 1, size).astype(np.float32)),
            pl.DataFrame(emotions).to_struct("emotions"),
            pl.Series("needs", [[]] * size, dtype=pl.List(pl.Struct({"text": pl.String}))),
            pl.Series("embedding", vectors),
        ).write_parquet(parts / f"{number:04}.parquet")
    whole = pl.scan_parquet(parts / "*.parquet")
    whole.sink_parquet(folder / "signals.parquet")
    mine = pl.scan_parquet(folder / "tenth" / "reviews.parquet").select("review_id")
    whole.join(mine, on="review_id", how="semi").sink_parquet(folder / "tenth" / "signals.parquet")


def _items(rng: np.random.Generator, num_items: int) -> pl.DataFrame:
    place = np.arange(num_items)
    return pl.DataFrame(
        {
            "item_id": [f"i{n}" for n in place],
            "title": [f"thing {n}" for n in place],
            "categories": [["all", f"c{n % 50}", f"c{n % 50}.{n % 400}"] for n in place],
            "brand": [f"b{n}" for n in rng.integers(0, max(2, num_items // 40), num_items)],
            "price_cents": rng.integers(100, 20_000, num_items),
            "currency": ["EUR"] * num_items,
            "created_at": pl.Series([_START] * num_items, dtype=pl.Datetime("us", "UTC")),
        }
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        _measure(sys.argv[2], Path(sys.argv[3]))
    else:
        app()
