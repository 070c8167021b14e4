"""Each person is heard once of an item, and one person alone is no alert."""

from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from recsys.alerts.config import AlertConfig
from recsys.alerts.detection import look
from recsys.alerts.opinions import HEARD_AGAIN_DAYS, Opinions, day_of, opinions

START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = day_of(START)
_SIGNALS = {
    "review_id": pl.String(),
    "polarity": pl.Float32(),
    "embedding": pl.List(pl.Float32()),
    "aspects": pl.List(pl.Struct({"aspect": pl.String(), "polarity": pl.Float32()})),
}


def heard(rows: list[tuple[str, str, int, bool]]) -> Opinions:
    """Of `user, item, day, negative`, in stars alone."""
    reviews = pl.DataFrame(
        {
            "review_id": [f"r{place}" for place in range(len(rows))],
            "user_id": [row[0] for row in rows],
            "item_id": [row[1] for row in rows],
            "event_time": [START + timedelta(days=row[2], hours=12) for row in rows],
            "seq": list(range(len(rows))),
            "rating": [1.0 if row[3] else 5.0 for row in rows],
            "source": ["review"] * len(rows),
        },
        schema_overrides={"event_time": pl.Datetime("us", "UTC")},
    )
    return opinions(reviews.lazy(), pl.LazyFrame(schema=_SIGNALS))


def shop(days: int) -> list[tuple[str, str, int, bool]]:
    """Return a review a day of each of a dozen items, one in ten of them negative."""
    return [
        (f"u{day}-{item}", f"i{item:02d}", day, (day + 3 * item) % 10 == 0)
        for day in range(days)
        for item in range(12)
    ]


ITEMS = pl.DataFrame(
    {
        "item_id": [f"i{item:02d}" for item in range(12)],
        "brand": [f"b{item % 3}" for item in range(12)],
        "categories": [["Home"]] * 12,
    }
)


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from("xy"), st.integers(0, 900), st.booleans()),
        min_size=1,
        max_size=30,
    )
)
def test_a_person_is_heard_once_in_a_while_and_never_taken_back(
    rows: list[tuple[str, str, int, bool]],
) -> None:
    rows = sorted(rows, key=lambda row: row[2])
    judged = heard(rows).judged
    gaps = judged.select(pl.col("heard_day").diff().over("user_id", "item_id")).to_series()
    assert (gaps.drop_nulls() > HEARD_AGAIN_DAYS).all()
    assert set(judged.select("user_id", "item_id").rows()) == {row[:2] for row in rows}
    before = heard(rows[: len(rows) // 2 + 1]).judged
    assert judged.head(len(before)).equals(before)


def test_who_comes_back_after_a_year_is_heard_again() -> None:
    judged = heard([("a", "x", 0, False), ("a", "x", 200, True), ("a", "x", 600, True)]).judged
    assert judged["review_id"].to_list() == ["r0", "r2"]


def test_one_angry_person_is_no_alert() -> None:
    last = 150
    one = [("angry", "i05", day, True) for day in range(130, last + 1)]
    many = [(f"angry{day}", "i05", day, True) for day in range(130, last + 1)]

    def found(rows: list[tuple[str, str, int, bool]]) -> list[str]:
        return (
            look(heard(shop(last + 1) + rows), ITEMS, day=DAY + last, config=AlertConfig())
            .found["key"]
            .to_list()
        )

    assert found(one) == []
    assert "i05" in found(many)


def test_one_person_is_counted_once_over_all_items_of_a_brand() -> None:
    last = 150
    own = [f"i{item:02d}" for item in range(0, 12, 3)] * 2

    def found(users: list[str]) -> list[str]:
        rows = [(user, item, last, True) for user, item in zip(users, own, strict=True)]
        shown = [row for row in shop(last + 1) if not (row[3] and row[2] > last - 40)]
        seen = look(heard(shown + rows), ITEMS, day=DAY + last, config=AlertConfig()).found
        return seen.filter(scope="brand")["key"].to_list()

    assert found(["angry"] * 4 + ["cross"] * 4) == []
    assert found([f"u{place}" for place in range(8)]) == ["b0"]
