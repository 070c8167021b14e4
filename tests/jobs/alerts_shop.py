"""A small shop of which one item breaks and one is bombed, day by day known."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from features.schema import Events, Items, Users
from features.store import Store
from jobs.config import Config
from jobs.settings import score_config
from recsys.alerts.opinions import day_of
from sentiment.schema import EMBEDDING_DIM, Reviews, ReviewSignals
from sentiment.scorer import model_version

START = datetime(2025, 1, 1, tzinfo=UTC)
NUM_DAYS, BROKEN_DAY, MENDED_DAY, BOMBED_DAY = 175, 130, 145, 135
BROKEN, BOMBED = "i03", "i07"
VERSION = model_version(score_config(Config()).scorer)
DAY = day_of(START)
_FINE = ("It does what it should and I use it every day.", "Good value, works very well for me.")
_SAD = (
    "The hinge snapped off number {n} and {m} days later nothing held.",
    "Stopped working after {n} hours, {m} calls to the shop did not help.",
    "It came apart at seam {n}, the other {m} followed within a week.",
)
_BOMB = "Never buy anything from these people, a total scam and a disgrace {n}."


Row = tuple[str, str, int, int | None, bool, str, bool]
"""Of a review: user, item, day, day of sale, whether it is negative, text, whether verified."""


def bombs(item: str, day: int, texts: list[str], *, verified: bool) -> list[Row]:
    """Return a negative review of each text on a day, by accounts of the day before."""
    return [
        (f"{item}-{day}-{place}", item, day, None, True, text, verified)
        for place, text in enumerate(texts)
    ]


def make_store(folder: str, more: list[Row] | None = None) -> Store:
    """Write the shop: twelve items, a review a day and item, bought three days before.

    Args:
        folder: Where to.
        more: Reviews besides.
    """
    rng = np.random.default_rng(0)
    rows = []
    for day in range(3, NUM_DAYS):
        for item in range(12):
            name = f"i{item:02d}"
            broken = name == BROKEN and BROKEN_DAY <= day - 3 < MENDED_DAY
            bad = rng.random() < (0.9 if broken else 0.1)
            words = _SAD[int(rng.integers(3))].format(n=rng.integers(99), m=rng.integers(99))
            text = words if bad else _FINE[int(rng.integers(2))]
            rows.append((f"u{len(rows):05d}", name, day, day - 3, bad, text, True))
    rows.extend(
        (f"x{n:03d}", BOMBED, BOMBED_DAY + n % 2, None, True, _BOMB.format(n=n), False)
        for n in range(25)
    )
    rows.extend(more or [])
    rows.sort(key=lambda row: row[2])
    store = Store(folder)
    items = [f"i{item:02d}" for item in range(12)]
    store.append(
        "items",
        Items.validate(
            _frame(
                Items,
                {
                    "item_id": items,
                    "title": [f"Lamp {name}" for name in items],
                    "categories": [["Home", "Lamps"]] * 12,
                    "brand": [f"b{place % 3}" for place in range(12)],
                },
            )
        ),
    )
    made = [
        START + timedelta(days=row[2] - 1) if row[3] is None else START - timedelta(days=99)
        for row in rows
    ]
    store.append(
        "users",
        Users.validate(
            _frame(
                Users,
                {
                    "user_id": [row[0] for row in rows],
                    "signup_at": made,
                    "consents": [[]] * len(rows),
                },
            )
        ),
    )
    bought = [row for row in rows if row[3] is not None]
    store.append(
        "events",
        Events.validate(
            _frame(
                Events,
                {
                    "event_id": [f"e{place}" for place in range(len(bought))],
                    "user_id": [row[0] for row in bought],
                    "item_id": [row[1] for row in bought],
                    "event_type": ["purchase"] * len(bought),
                    "event_time": [START + timedelta(days=row[3], hours=9) for row in bought],
                    "seq": list(range(len(bought))),
                },
            )
        ),
    )
    ids = [f"r{place}" for place in range(len(rows))]
    store.append(
        "reviews",
        Reviews.validate(
            _frame(
                Reviews,
                {
                    "review_id": ids,
                    "user_id": [row[0] for row in rows],
                    "item_id": [row[1] for row in rows],
                    "rating": [1.0 if row[4] else 5.0 for row in rows],
                    "text": [row[5] for row in rows],
                    "source": ["review"] * len(rows),
                    "verified": [row[6] for row in rows],
                    "event_time": [START + timedelta(days=row[2], hours=12) for row in rows],
                    "seq": list(range(len(rows))),
                },
            )
        ),
    )
    polarity = [-0.9 if row[4] else 0.9 for row in rows]
    store.append(
        "review_signals",
        ReviewSignals.validate(
            _frame(
                ReviewSignals,
                {
                    "review_id": ids,
                    "model_version": [VERSION] * len(rows),
                    "language": ["en"] * len(rows),
                    "p_negative": [0.95 if row[4] else 0.05 for row in rows],
                    "p_neutral": [0.0] * len(rows),
                    "p_positive": [0.05 if row[4] else 0.95 for row in rows],
                    "polarity": polarity,
                    "intensity": [0.9] * len(rows),
                    "stars_expected": [1.1 if row[4] else 4.9 for row in rows],
                    "mixed": [False] * len(rows),
                    "aspects": [_aspects(row[5]) if row[4] else [] for row in rows],
                    "needs": [[]] * len(rows),
                    "embedding": [[1.0] + [0.0] * (EMBEDDING_DIM - 1)] * len(rows),
                    "truncated": [False] * len(rows),
                },
            )
        ),
    )
    return store


def _aspects(text: str) -> list[dict]:
    mention = {"polarity": -0.9, "confidence": 0.9, "start": 0, "end": len(text.rstrip("."))}
    return [{"aspect": "durability", **mention}]


def _frame(schema: type, columns: dict) -> pl.DataFrame:
    empty = schema.create_empty()  # type: ignore[attr-defined]
    size = len(next(iter(columns.values())))
    nothing = {name: [None] * size for name in empty.columns if name not in columns}
    return pl.DataFrame({**columns, **nothing}, schema=empty.schema, strict=False)
