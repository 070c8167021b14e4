"""How long a segment of ten million users takes, and how much memory: ours beside DuckDB.

python -m benchmarks.segments [--users 10000000] [--runs 3] [--folder F] [--json F]

A store is generated: profiles, users with consents, outcomes, two events a user, a review and a
contact of every fifth user, 50,000 items. The segment has twelve conditions on eight tables, one of
them of two tables at once. Each figure is of a process of its own, after an import of Polars and
before it ends, with the most memory the process ever held; ours and DuckDB's runs take turns. On a
busy machine the processor seconds of all threads say more than those of the clock.

    preview     exact count, all gates of every channel, spread of eight features of members and of
                everybody, a sample
    export      who is in, who may be written to by e-mail, asked twice, less a holdout, handed over
                with one column of profiles as a Parquet file with manifest and audit entry
    members     who is in, sorted
    duckdb      the same who, by one SQL statement over the same files
"""

import hashlib
import json as json_module
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import polars as pl
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.harness import spread, write
from features.store import Store

_AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
_CHUNK = 1_000_000
_ITEMS = 50_000
_CATEGORIES = [f"Category {n}" for n in range(20)]
_BANDS = ["lowest", "low", "middle", "high", "highest"]
_COUNTRIES = ["DE", "FR", "US", "GB", "CN", "JP"]
_MEASURED = ("preview", "export", "members", "duckdb")
_ASKED_S = {"preview": 5.0, "export": 30.0}
SEGMENT = """
[segments.twelve]
where = { all = [
  { profile = "num_purchases", at_least = 2 },
  { profile = "spend_cents", between = [5000, 200000] },
  { profile = "days_since_purchase", at_most = 180 },
  { profile = "return_rate", below = 0.3 },
  { profile = "price_band", in = ["low", "middle", "high"] },
  { outcome = "churn", above = 0.3 },
  { outcome = "value", above = 1000 },
  { user = "country", in = ["DE", "FR", "US", "GB"] },
  { events = ["view", "purchase"], category = ["Category 1", "Category 2"], last_days = 180 },
  { events = "return", last_days = 90, equals = 0 },
  { contacts = "count", last_days = 14, equals = 0 },
  { any = [
    { reviews = "polarity", aspect = "tuners", below = -0.3 },
    { profile = "polarity_mean", below = 0.5 },
  ] },
] }
"""
_SQL = """
WITH wanted AS (
  SELECT item_id FROM items
  WHERE list_has_any(categories, ['Category 1', 'Category 2'])
), seen AS (
  SELECT DISTINCT user_id FROM events SEMI JOIN wanted USING (item_id)
  WHERE event_type IN ('view', 'purchase')
    AND event_time >= $as_of - INTERVAL 180 DAY AND event_time < $as_of
), returned AS (
  SELECT DISTINCT user_id FROM events WHERE event_type = 'return'
    AND event_time >= $as_of - INTERVAL 90 DAY AND event_time < $as_of
), contacted AS (
  SELECT DISTINCT user_id FROM contacts
  WHERE contacted_at >= $as_of - INTERVAL 14 DAY AND contacted_at < $as_of
), said AS (
  SELECT review_id, unnest(aspects) AS aspect FROM review_signals
), mentions AS (
  SELECT review_id, avg(aspect.polarity::DOUBLE) AS polarity FROM said
  WHERE aspect.aspect IN ('tuner', 'tuners') AND aspect.confidence >= 0.5 GROUP BY review_id
), opinions AS (
  SELECT user_id, avg(polarity) AS polarity FROM reviews JOIN mentions USING (review_id)
  WHERE source IN ('review', 'survey') AND event_time < $as_of GROUP BY user_id
)
SELECT user_id FROM user_profiles p
JOIN user_outcomes USING (user_id) JOIN users u USING (user_id)
SEMI JOIN seen USING (user_id)
ANTI JOIN returned USING (user_id)
ANTI JOIN contacted USING (user_id)
LEFT JOIN opinions USING (user_id)
WHERE num_purchases >= 2 AND spend_cents BETWEEN 5000 AND 200000
  AND days_since_purchase <= 180 AND return_rate < 0.3 AND price_band IN ('low', 'middle', 'high')
  AND churn_probability > 0.3 AND expected_cents > 1000 AND country IN ('DE', 'FR', 'US', 'GB')
  AND (opinions.polarity < -0.3 OR polarity_mean < 0.5)
ORDER BY user_id
"""
app = typer.Typer()


@app.command()
def main(
    users: Annotated[int, typer.Option(help="Users.")] = 10_000_000,
    runs: Annotated[int, typer.Option(help="Of each.", min=1)] = 3,
    folder: Annotated[Path | None, typer.Option(help="Where the store is kept.")] = None,
    only: Annotated[str | None, typer.Option(help="One of the measured things.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    """Generate the store, unless it is there, measure in turns, and hold the answers together."""
    with tempfile.TemporaryDirectory() as scratch:
        place = folder or Path(scratch)
        if not (place / "tables" / "users").exists():
            _generate(Store(place), users)
        wanted = _MEASURED if only is None else (only,)
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in wanted}
        for _ in range(runs):
            for name in wanted:
                found[name].append(_in_a_process(name, place))
    answers = {run["answer"] for name in ("members", "duckdb") for run in found.get(name, [])}
    if len(answers) > 1:
        raise SystemExit(f"ours and DuckDB's members differ: {answers}")
    table = Table(
        "", "seconds", "asked", "processor s", "most memory, GB", "users", title=f"{users:,} users"
    )
    for name, rows in found.items():
        seconds = spread([row["seconds"] for row in rows])
        table.add_row(
            name,
            f"{seconds['median']:.2f} ({seconds['min']:.2f} to {seconds['max']:.2f})",
            f"{_ASKED_S[name]:g}" if name in _ASKED_S else "",
            f"{spread([row['processor_s'] for row in rows])['median']:.2f}",
            f"{max(row['memory_gb'] for row in rows):.2f}",
            f"{rows[0]['num']:,}",
        )
    Console(width=100).print(table)
    figures = {
        name: {
            "seconds": spread([row["seconds"] for row in rows]),
            "processor_s": spread([row["processor_s"] for row in rows]),
            "memory_gb": spread([row["memory_gb"] for row in rows]),
            "num": rows[0]["num"],
        }
        for name, rows in found.items()
    }
    write(json, {"metrics": figures, "data": {"users": users, "runs": runs}})


def _measure(name: str, folder: Path) -> None:
    """Measure one thing in this process, and print it as JSON."""
    run = {"preview": _preview, "export": _export, "members": _members, "duckdb": _duckdb}[name]
    started, processor_before = time.perf_counter(), time.process_time()
    num, answer = run(folder)
    seconds = time.perf_counter() - started
    processor = time.process_time() - processor_before
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    told = {
        "seconds": seconds,
        "processor_s": processor,
        "memory_gb": memory,
        "num": num,
        "answer": answer,
    }
    print(json_module.dumps(told))


def _in_a_process(name: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.segments", "--measure", name, str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json_module.loads(done.stdout.splitlines()[-1])


def _selection(folder: Path) -> Any:
    from jobs.config import Config
    from jobs.segment_members import select_members, signals_version
    from recsys.segments.definition import Definitions
    from recsys.segments.definition_files import parse_segments

    store = Store(folder)
    definition = Definitions(parse_segments(SEGMENT, source="twelve.toml")).definition("twelve")
    version = signals_version(store, Config())
    return store, select_members(store, definition, _AS_OF, version=version)


def _section() -> Any:
    from recsys.segments.section import CapSection, HoldoutSection, SegmentsSection

    return SegmentsSection(
        caps={"email": CapSection(max_contacts=2, days=30)}, holdout=HoldoutSection(share=0.1)
    )


def _preview(folder: Path) -> tuple[int, str]:
    from jobs.preview_segment import preview_segment
    from jobs.segment_tables import admission_tables

    store, selection = _selection(folder)
    found = preview_segment(
        selection, admission_tables(store), _section(), channel=None, sample=5, key=bytes(32)
    )
    return found.matched, ""


def _export(folder: Path) -> tuple[int, str]:
    """Hand the segment over as a Parquet file, and take away what the store remembers of it."""
    from jobs.delivery.audit_log import AuditLog
    from jobs.delivery.files import FileDestination
    from jobs.delivery.ledger import DELIVERIES, Ledger
    from jobs.delivery.rows import ProfileRows
    from jobs.delivery.run_delivery import Audience, Delivering
    from jobs.delivery.target import Target

    store, selection = _selection(folder)
    section, segment = _section(), selection.definition.name
    with tempfile.TemporaryDirectory() as place:
        target = Target(
            name="benchmark",
            destination=FileDestination(
                folder=place, format="parquet", rows=ProfileRows(columns=("spend_cents",)), notes={}
            ),
            channel="email",
            cap=section.cap("email"),
            holdout=section.held_out(segment),
            is_contact=False,
        )
        delivering = Delivering(
            store=store,
            audit=AuditLog(path=Path(place, "audit.jsonl")),
            actor={"name": "benchmark"},
            now=lambda: _AS_OF,
        )
        audience = Audience(
            segment=segment,
            definition_version=selection.version,
            as_of=_AS_OF,
            user_ids=selection.user_ids,
        )
        report = delivering.run(audience, target, "export")
    for table in (DELIVERIES, Ledger(store=store, segment=segment, destination="benchmark").table):
        shutil.rmtree(store.path("tables", table))
    assert report.delivery is not None
    return report.delivery.size, ""


def _members(folder: Path) -> tuple[int, str]:
    return _digest(_selection(folder)[1].user_ids())


def _duckdb(folder: Path) -> tuple[int, str]:
    import duckdb
    from deltalake import DeltaTable

    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for path in sorted((folder / "tables").iterdir()):
            files = DeltaTable(str(path)).file_uris()
            connection.sql(f"SELECT * FROM read_parquet({files})").create_view(path.name)
        found = connection.sql(_SQL, params={"as_of": _AS_OF}).to_arrow_table()
    return _digest(pl.Series(found.column("user_id")))


def _digest(users: pl.Series) -> tuple[int, str]:
    told = hashlib.sha256("\n".join(users).encode()).hexdigest()
    return len(users), f"{len(users)} users, {told}"


def _generate(store: Store, num_users: int) -> None:
    """Write the tables, a million users at a time."""
    rng = np.random.default_rng(0)
    store.append("items", _items(rng))
    makers: dict[str, Callable[[np.random.Generator, pl.Series, int], pl.DataFrame]] = {
        "user_profiles": _profiles,
        "user_outcomes": _outcomes,
        "users": _users,
        "events": _events,
        "contacts": _contacts,
        "reviews": _reviews,
        "review_signals": _signals,
    }
    for start in range(0, num_users, _CHUNK):
        num = min(_CHUNK, num_users - start)
        ids = pl.select(
            user_id="u" + pl.int_range(start, start + num).cast(pl.String).str.zfill(9)
        )["user_id"]
        for table, make in makers.items():
            store.append(table, make(rng, ids, start))


def _items(rng: np.random.Generator) -> pl.DataFrame:
    from features.schema import TABLES

    names = [f"i{n:06d}" for n in range(_ITEMS)]
    picks = rng.integers(0, len(_CATEGORIES), _ITEMS)
    given = pl.DataFrame(
        {
            "item_id": names,
            "categories": [["Everything", _CATEGORIES[pick]] for pick in picks],
            "price_cents": rng.integers(500, 90_000, _ITEMS),
        }
    )
    return _whole(given, TABLES["items"].create_empty().schema)


def _profiles(rng: np.random.Generator, ids: pl.Series, start: int) -> pl.DataFrame:
    num = len(ids)
    bought = rng.geometric(0.3, num)
    polarity = rng.normal(0.4, 0.5, num).clip(-1, 1)
    return pl.DataFrame(
        {
            "user_id": ids,
            "num_purchases": bought,
            "num_views": rng.geometric(0.05, num),
            "spend_cents": bought * rng.integers(500, 40_000, num),
            "days_since_purchase": rng.exponential(120, num),
            "days_since_last": rng.exponential(60, num),
            "return_rate": rng.beta(1, 12, num),
            "num_reviews": rng.poisson(0.8, num),
            "polarity_mean": pl.Series(polarity).set(pl.Series(rng.random(num) < 0.4), None),
            "price_band": pl.Series(_BANDS).gather(rng.integers(0, len(_BANDS), num)),
            "favourite_brands": pl.Series([["a", "b"], ["c"], []]).gather(rng.integers(0, 3, num)),
            "as_of": [_AS_OF - timedelta(days=1)] * num,
        }
    ).with_columns(pl.col("as_of").cast(pl.Datetime("us", "UTC")))


def _outcomes(rng: np.random.Generator, ids: pl.Series, start: int) -> pl.DataFrame:
    num = len(ids)
    return pl.DataFrame(
        {
            "user_id": ids,
            "as_of": pl.Series([_AS_OF], dtype=pl.Datetime("us", "UTC")).new_from_index(0, num),
            "purchase_probability": rng.random(num),
            "churn_probability": rng.random(num),
            "expected_cents": rng.exponential(4000, num),
        }
    )


def _users(rng: np.random.Generator, ids: pl.Series, start: int) -> pl.DataFrame:
    from features.schema import TABLES

    num = len(ids)
    kinds = pl.Series([["email"], ["email", "sms"], ["sms"], []], dtype=pl.List(pl.String))
    given = pl.DataFrame(
        {
            "user_id": ids.shuffle(seed=1),
            "country": pl.Series(_COUNTRIES).gather(rng.integers(0, len(_COUNTRIES), num)),
            "consents": kinds.gather(rng.integers(0, 4, num)),
        }
    )
    return _whole(given, TABLES["users"].create_empty().schema)


def _events(rng: np.random.Generator, ids: pl.Series, start: int) -> pl.DataFrame:
    from features.schema import TABLES

    num = 2 * len(ids)
    kinds = pl.Series(["view", "purchase", "return"])
    given = pl.DataFrame(
        {
            "event_id": pl.select(
                pl.concat_str(pl.lit("e"), pl.int_range(2 * start, 2 * start + num))
            ).to_series(),
            "user_id": ids.gather(rng.integers(0, len(ids), num)),
            "item_id": pl.select(
                "i" + pl.lit(pl.Series(rng.integers(0, _ITEMS, num))).cast(pl.String).str.zfill(6)
            ).to_series(),
            "event_type": kinds.gather(rng.choice(3, num, p=[0.7, 0.27, 0.03])),
            "event_time": _moments(rng, num, 365),
            "seq": np.arange(2 * start, 2 * start + num),
        }
    )
    return _whole(given, TABLES["events"].create_empty().schema)


def _contacts(rng: np.random.Generator, ids: pl.Series, start: int) -> pl.DataFrame:
    from features.schema import TABLES

    num = len(ids) // 5
    given = pl.DataFrame(
        {
            "contact_id": pl.select(
                pl.concat_str(pl.lit("c"), pl.int_range(start, start + num))
            ).to_series(),
            "user_id": ids.gather(rng.integers(0, len(ids), num)),
            "channel": pl.Series(["email", "sms"]).gather(rng.integers(0, 2, num)),
            "contacted_at": _moments(rng, num, 90),
        }
    )
    return _whole(given, TABLES["contacts"].create_empty().schema)


def _reviews(rng: np.random.Generator, ids: pl.Series, start: int) -> pl.DataFrame:
    from features.schema import TABLES

    num = len(ids) // 5
    given = pl.DataFrame(
        {
            "review_id": _review_ids(start, num),
            "user_id": ids.gather(rng.integers(0, len(ids), num)),
            "rating": pl.Series(rng.integers(1, 6, num)).cast(pl.Float32),
            "text": pl.Series(["The tuners do not hold.", "Lovely sound."]).gather(
                rng.integers(0, 2, num)
            ),
            "source": pl.Series(["review"]).new_from_index(0, num),
            "event_time": _moments(rng, num, 365),
            "seq": np.arange(start, start + num),
        }
    )
    return _whole(given, TABLES["reviews"].create_empty().schema)


def _signals(rng: np.random.Generator, ids: pl.Series, start: int) -> pl.DataFrame:
    """Without embeddings, which no condition of the segment reads."""
    from features.schema import TABLES

    num = len(ids) // 5
    polarity = rng.uniform(-1, 1, num).astype(np.float32)
    schema = TABLES["review_signals"].create_empty().schema
    said = pl.DataFrame(
        {
            "aspect": pl.Series(["tuner", "sound", "price"]).gather(rng.integers(0, 3, num)),
            "polarity": polarity,
            "confidence": pl.Series([0.9], dtype=pl.Float32).new_from_index(0, num),
            "start": pl.Series([0], dtype=pl.Int32).new_from_index(0, num),
            "end": pl.Series([5], dtype=pl.Int32).new_from_index(0, num),
        }
    )
    given = pl.DataFrame({"review_id": _review_ids(start, num), "polarity": polarity}).with_columns(
        said.select(pl.concat_list(pl.struct(pl.all())).alias("aspects")).to_series(),
        model_version=pl.lit("generated"),
        language=pl.lit("en"),
        needs=pl.lit([], schema["needs"]),
        p_negative=pl.lit(0.3),
        p_neutral=pl.lit(0.3),
        p_positive=pl.lit(0.4),
        intensity=pl.lit(0.5),
        stars_expected=pl.lit(3.0),
        mixed=pl.lit(value=False),
        truncated=pl.lit(value=False),
    )
    return _whole(given, schema)


def _review_ids(start: int, num: int) -> pl.Series:
    return pl.select(pl.concat_str(pl.lit("r"), pl.int_range(start, start + num))).to_series()


def _moments(rng: np.random.Generator, num: int, days: int) -> pl.Series:
    before_us = rng.integers(1, days * 86_400_000_000, num)
    end = int(_AS_OF.timestamp() * 1e6)
    return pl.Series(end - before_us).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")


def _whole(given: pl.DataFrame, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Add the columns of a contract that nobody reads here, null or empty."""
    absent = [
        (pl.lit([], dtype) if isinstance(dtype, pl.List) else pl.lit(None, dtype)).alias(name)
        for name, dtype in schema.items()
        if name not in given.columns
    ]
    whole = given.with_columns(absent)
    return whole.select(pl.col(name).cast(dtype) for name, dtype in schema.items())


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        _measure(sys.argv[2], Path(sys.argv[3]))
    else:
        app()
