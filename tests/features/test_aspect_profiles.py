"""Aspects of items and users: by hand, against a shop whose truth is known, nothing later."""

from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest
from rows import day, events, reviews, signals

from features.aspect_profiles import (
    AspectConfig,
    aspect_mentions,
    item_aspects,
    user_aspects,
    user_complaints,
)
from features.visibility import Visible, everything

ALL = AspectConfig(least_reviews=1)
Said = tuple[str, str, dict[str, float]]


def opinion(aspect: str, polarity: float, confidence: float = 0.9) -> dict:
    return {
        "aspect": aspect, "polarity": polarity, "confidence": confidence, "start": 0, "end": 1,
    }  # fmt: skip


def shop(rows: Sequence[Said], until: float = 1000) -> tuple[Visible, pl.LazyFrame]:
    """Return a visible world and signals of rows of user, item and polarity by aspect."""
    texts = reviews(
        *(
            {"user_id": user, "item_id": item, "text": "x" if said else None, "rating": 3, "day": n}
            for n, (user, item, said) in enumerate(rows)
        )
    )
    opinions = [[opinion(*named) for named in said.items()] for _, _, said in rows]
    return everything(events(), texts, as_of=day(until)), with_opinions(opinions)


def with_opinions(opinions: list[list[dict]]) -> pl.LazyFrame:
    frame = signals({f"r{n}": 0.0 for n in range(len(opinions))})
    return frame.with_columns(pl.Series("aspects", opinions, dtype=frame.schema["aspects"])).lazy()


def mentions_of(rows: Sequence[Said], config: AspectConfig = ALL, until: float = 1000):
    return aspect_mentions(*shop(rows, until), config)


ROWS: list[Said] = [
    ("u", "a", {"sound": 1.0, "price": -0.5}),
    ("v", "a", {"sound": 0.5}),
    ("w", "a", {"sound": -0.3, "price": -0.7}),
    ("u", "b", {"price": 0.1}),
    ("v", "b", {}),
    ("u", "b", {"sound": 0.2}),
]


def test_a_mention_is_a_review_and_an_aspect() -> None:
    said = [opinion("sound", 1.0), opinion("price", -0.5), opinion("sound", 0.0)]
    unsure = opinion("price", 1.0, confidence=0.4)
    found = aspect_mentions(shop(ROWS[:1])[0], with_opinions([[*said, unsure]]), ALL)
    assert found.select("aspect", "polarity").rows() == [("price", -0.5), ("sound", 0.5)]


def test_a_plural_is_the_same_aspect_where_the_singular_is_known() -> None:
    rows: list[Said] = [("u", "a", {"pedals": 1.0, "pedal": 0.0, "keys": 0.3}), ("v", "a", {})]
    found = mentions_of(rows)
    assert found.select("aspect", "polarity").rows() == [
        ("keys", pytest.approx(0.3)),
        ("pedal", 0.5),
    ]


def test_rare_aspects_and_later_reviews_are_left_out() -> None:
    assert set(mentions_of(ROWS, AspectConfig(least_reviews=4))["aspect"]) == {"sound"}
    assert len(mentions_of(ROWS, until=2)) == 3
    assert item_aspects(mentions_of(ROWS, until=2)).equals(item_aspects(mentions_of(ROWS[:2])))


def test_what_is_said_of_items_is_counted_and_shrunk() -> None:
    found = item_aspects(mentions_of(ROWS))
    counted = found.select("item_id", "aspect", "num_mentions", "polarity_mean").rows()
    assert counted == [
        ("a", "price", 2, pytest.approx(-0.6)),
        ("a", "sound", 3, pytest.approx(0.4)),
        ("b", "price", 1, pytest.approx(0.1)),
        ("b", "sound", 1, pytest.approx(0.2)),
    ]
    for row in found.iter_rows(named=True):
        assert -1 <= row["polarity_low"] <= row["polarity"] <= row["polarity_high"] <= 1
    assert found["last_mention_at"].to_list() == [day(2), day(2), day(3), day(5)]


def test_shrunk_polarity_is_nearer_to_a_known_truth() -> None:
    rng = np.random.default_rng(0)
    level = {"sound": 0.4, "price": -0.3}
    truth, rows = {}, []
    for item in range(150):
        for aspect, mean in level.items():
            truth[f"i{item}", aspect] = mean + rng.normal(0, 0.2)
        for n in range(rng.integers(1, 5)):
            said = {
                a: float(np.clip(truth[f"i{item}", a] + rng.normal(0, 0.4), -1, 1)) for a in level
            }
            rows.append((f"u{n}", f"i{item}", said))  # fmt: skip
    found = item_aspects(mentions_of(rows))
    wanted = np.array([truth[key] for key in found.select("item_id", "aspect").iter_rows()])
    of_mean = np.square(found["polarity_mean"].to_numpy() - wanted).mean()
    assert np.square(found["polarity"].to_numpy() - wanted).mean() < 0.6 * of_mean
    inside = (found["polarity_low"].to_numpy() <= wanted) & (
        wanted <= found["polarity_high"].to_numpy()
    )
    assert inside.mean() > 0.88  # fmt: skip


def test_who_writes_of_an_aspect_more_than_others_stresses_it() -> None:
    rows: list[Said] = [("fan", f"i{n}", {"sound": 0.5}) for n in range(6)]
    rows += [(f"u{n}", f"i{n % 6}", {"price": 0.1} if n % 2 else {"sound": 0.2}) for n in range(20)]
    found = user_aspects(mentions_of(rows), shop(rows)[0].reviews)
    [fan] = found.filter(pl.col("user_id") == "fan").to_dicts()
    share = 16 / 26
    odds = (6 + 5 * share) / (6 + 5 - 6 - 5 * share)
    assert fan["emphasis"] == pytest.approx(np.log(odds) - np.log(share / (1 - share)))
    assert (fan["num_mentions"], fan["num_reviews"], fan["polarity_mean"]) == (6, 6, 0.5)
    once = found.filter((pl.col("user_id") == "u0") & (pl.col("aspect") == "sound"))
    assert 0 < once["emphasis"].item() < fan["emphasis"]


def test_reviews_without_words_are_no_chance_to_mention() -> None:
    silent: list[Said] = [("u", "c", {})] * 5
    alone, with_silent = (
        user_aspects(mentions_of(rows), shop(rows)[0].reviews) for rows in (ROWS, ROWS + silent)
    )
    assert alone.equals(with_silent)


def test_strictness_is_beneath_what_others_say_of_the_same_items() -> None:
    rows: list[Said] = []
    for item in range(40):
        rows += [("strict", f"i{item}", {"sound": -0.4}), ("mild", f"i{item}", {"sound": 0.6})]
        rows += [(f"u{item}", f"i{item}", {"sound": 0.1})]
    rows.append(("alone", "only", {"sound": -1.0}))
    found = user_aspects(mentions_of(rows), shop(rows)[0].reviews)
    of_user = {row["user_id"]: row["strictness"] for row in found.iter_rows(named=True)}
    # Others say (0.6 + 0.1) / 2 where the strict one says -0.4, and so on.
    assert of_user["strict"] == pytest.approx(0.75, abs=0.05)
    assert of_user["mild"] == pytest.approx(-0.75, abs=0.05)
    assert abs(of_user["u3"]) < 0.1
    assert of_user["alone"] is None


def test_a_shop_without_opinions_has_empty_tables() -> None:
    none = mentions_of([("u", "a", {})])
    assert item_aspects(none).is_empty()
    assert user_aspects(none, shop([("u", "a", {})])[0].reviews).is_empty()
    assert item_aspects(none).columns[:4] == ["item_id", "aspect", "num_mentions", "polarity_mean"]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"least_confidence": 1.5}, "within 0..1, not 1.5"), ({"prior_reviews": 0}, "above 0, not 0")],
)
def test_a_wrong_config_is_named(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AspectConfig(**options)


def test_complaints_are_told_with_the_praise_of_the_same_aspect() -> None:
    rows = [
        ("r1", "u", "a", 1, "sound", -0.5),
        ("r2", "u", "b", 2, "sound", 0.9),
        ("r3", "u", "b", 3, "price", 0.9),
        ("r4", "v", "a", 4, "sound", 0.1),
    ]
    columns = ["review_id", "user_id", "item_id", "day", "aspect", "polarity"]
    mentions = pl.DataFrame(rows, schema=columns, orient="row").with_columns(
        event_time=pl.from_epoch(pl.col("day") * 86_400).dt.replace_time_zone("UTC")
    )
    found = user_complaints(mentions)
    assert found.select("user_id", "aspect", "polarity").rows() == [
        ("u", "sound", -0.5),
        ("u", "sound", 0.9),
    ]
