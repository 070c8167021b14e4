"""A whole generated shop: its tables, its truth, and how it is written to a folder."""

import gzip
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from features.schema import Events, Items, Users
from jobs.sample_shop.behaviour import Choices, choose
from jobs.sample_shop.catalogue import DEPARTMENT_ASPECTS, Catalogue, build_catalogue
from jobs.sample_shop.config import ShopConfig, generator
from jobs.sample_shop.departments import ASPECTS
from jobs.sample_shop.experience import department_weights, squash
from jobs.sample_shop.grammar import LEVELS, Composed, Telling
from jobs.sample_shop.incident_records import (
    INCIDENT_SCHEMA,
    bomb_reviews,
    bomb_users,
    incident_truth,
)
from jobs.sample_shop.incidents import plan_bombs, plan_incidents, with_incidents
from jobs.sample_shop.people import People, build_people
from jobs.sample_shop.records import Records, record_events
from jobs.sample_shop.truth import Truth
from jobs.sample_shop.visits import Visits, plan_visits
from jobs.sample_shop.writing import (
    Reviewing,
    give_stars,
    pick_reviewers,
    plan_tellings,
    write_texts,
)
from sentiment.schema import Reviews


@dataclass(frozen=True, kw_only=True)
class Shop:
    """A generated shop."""

    config: ShopConfig
    items: pl.DataFrame
    """Conforms to `features.schema.Items`."""
    users: pl.DataFrame
    """Conforms to `features.schema.Users`."""
    events: pl.DataFrame
    """Conforms to `features.schema.Events`; sorted by (event_time, seq)."""
    reviews: pl.DataFrame
    """Conforms to `sentiment.schema.Reviews`; sorted by (event_time, seq)."""
    truth: Truth


def generate_shop(config: ShopConfig) -> Shop:
    """Generate a shop; the same config gives the same frames in any process.

    Args:
        config: size, seed and strength of sentiment.

    Raises:
        ValueError: the window is too short for `num_reviews`.

    Example:
        >>> shop = generate_shop(
        ...     ShopConfig(num_items=100, num_users=50, num_reviews=150, num_events=1500)
        ... )
        >>> shop.reviews.height
        150
    """
    catalogue = build_catalogue(config)
    people = build_people(config)
    visits = plan_visits(config, people)
    choices = choose(config, catalogue, people, visits)
    incidents = plan_incidents(config, catalogue, visits, choices)
    choices = with_incidents(visits, choices, incidents)
    bombs = plan_bombs(config, catalogue, incidents)
    records = record_events(config, catalogue, people, visits, choices)

    leg = records.purchase_leg
    buyer, bought = visits.user[leg], choices.target[leg]
    stars = give_stars(
        config,
        choices.experience.latent[leg],
        people.generosity[buyer],
        people.always_five[buyer],
    )
    reviewing = pick_reviewers(
        config,
        stars,
        people.talkative[buyer],
        _is_first(buyer, bought),
        records.events["event_time"].dt.epoch("s").to_numpy()[records.purchase_row],
    )
    row = reviewing.purchase
    department = catalogue.department[bought[row]]
    tellings = plan_tellings(
        config,
        stars[row],
        department,
        department_weights(people.weight)[buyer[row], department],
        choices.experience.at(leg[row]),
    )
    texts = write_texts(config, tellings, people.is_chinese[buyer[row]])
    reviews = bomb_reviews(_reviews_frame(config, reviewing, texts, buyer, bought), bombs)
    truth = _truth(catalogue, people, visits, choices, records, reviewing, tellings, texts)
    return Shop(
        config=config,
        items=Items.validate(catalogue.items),
        users=Users.validate(bomb_users(people.users, bombs)),
        events=Events.validate(records.events),
        reviews=Reviews.validate(reviews),
        truth=replace(
            truth, incidents=incident_truth(config, incidents, truth.reviews, records, reviews)
        ),
    )


def write_shop(shop: Shop, folder: Path) -> None:
    """Write a shop as a shop would hand it over, and its truth beside it.

    Args:
        shop: what to write.
        folder: gets items.jsonl, users.jsonl, events.jsonl.gz, reviews.jsonl.gz and
            truth/*.parquet; times are ISO 8601 in UTC. The same shop gives the same bytes.
    """
    (folder / "truth").mkdir(parents=True, exist_ok=True)
    for name, frame in {"items": shop.items, "users": shop.users}.items():
        (folder / f"{name}.jsonl").write_bytes(_jsonl(frame))
    for name, frame in {"events": shop.events, "reviews": shop.reviews}.items():
        packed = gzip.compress(_jsonl(frame), compresslevel=6, mtime=0)
        (folder / f"{name}.jsonl.gz").write_bytes(packed)
    for name, frame in shop.truth.frames().items():
        frame.write_parquet(folder / "truth" / f"{name}.parquet")


def _jsonl(frame: pl.DataFrame) -> bytes:
    times = pl.selectors.datetime()
    return frame.with_columns(times.dt.strftime("%Y-%m-%dT%H:%M:%SZ")).write_ndjson().encode()


def _is_first(buyer: np.ndarray, bought: np.ndarray) -> np.ndarray:
    """True for the first purchase of each item by each user; rows are in order of time."""
    first = np.zeros(len(buyer), dtype=bool)
    first[np.unique(np.column_stack([buyer, bought]), axis=0, return_index=True)[1]] = True
    return first


def _reviews_frame(
    config: ShopConfig,
    reviewing: Reviewing,
    texts: list[Composed],
    buyer: np.ndarray,
    bought: np.ndarray,
) -> pl.DataFrame:
    rng = generator(config, "reviewing").spawn(2)[1]
    row = reviewing.purchase
    age = 1.0 - (reviewing.time_s - config.start_s) / (config.days * 86400)
    votes = rng.poisson(rng.gamma(0.3, 4.0, size=len(row)) * age)
    return pl.DataFrame(
        {
            "review_id": _review_ids(len(row)),
            "user_id": [f"u{u:05d}" for u in buyer[row]],
            "item_id": [f"i{i:05d}" for i in bought[row]],
            "rating": pl.Series(reviewing.stars[row], dtype=pl.Float32),
            "title": [text.title for text in texts],
            "text": [text.text for text in texts],
            "source": ["review"] * len(row),
            "thread_id": pl.Series([None] * len(row), dtype=pl.String),
            "verified": [True] * len(row),
            "helpful_votes": pl.Series(votes, dtype=pl.Int64),
            "event_time": pl.Series(reviewing.time_s * 1_000_000).cast(pl.Datetime("us", "UTC")),
            "seq": np.arange(len(row), dtype=np.int64),
        }
    )


def _review_ids(count: int) -> list[str]:
    return [f"r{r:06d}" for r in range(count)]


def _truth(
    catalogue: Catalogue,
    people: People,
    visits: Visits,
    choices: Choices,
    records: Records,
    reviewing: Reviewing,
    tellings: list[Telling],
    texts: list[Composed],
) -> Truth:
    leg = records.purchase_leg
    item, aspect = np.nonzero(DEPARTMENT_ASPECTS[catalogue.department])
    num_users = len(people.strictness)
    user_id = people.users["user_id"]
    bought = records.events[records.purchase_row].select("event_id", "user_id", "item_id")
    review_id = _review_ids(len(tellings))
    opinions = [
        (review_id[r], name, LEVELS[level], *span)
        for r, (telling, text) in enumerate(zip(tellings, texts, strict=True))
        for (name, level), span in zip(telling.opinions, text.opinions, strict=True)
    ]
    needs = [
        (review_id[r], telling.wish, *text.wish)
        for r, (telling, text) in enumerate(zip(tellings, texts, strict=True))
        if text.wish is not None
    ]
    span = {"start": pl.Int32, "end": pl.Int32}
    named = {"review_id": pl.String, "aspect": pl.String}
    return Truth(
        item_quality=pl.DataFrame(
            {
                "item_id": catalogue.items["item_id"][item],
                "aspect": [ASPECTS[a] for a in aspect],
                "quality": catalogue.quality[item, aspect],
            }
        ),
        user_preferences=pl.DataFrame(
            {
                "user_id": user_id[np.repeat(np.arange(num_users), len(ASPECTS))],
                "aspect": list(ASPECTS) * num_users,
                "weight": people.weight.ravel(),
            }
        ),
        user_traits=pl.DataFrame(
            {
                "user_id": user_id,
                "strictness": people.strictness,
                "generosity": people.generosity,
                "always_five": people.always_five,
            }
        ),
        purchases=bought.with_columns(
            stars=pl.Series(reviewing.stars, dtype=pl.Int32),
            satisfaction=pl.Series(squash(choices.experience.latent[leg])),
            expected=pl.Series(squash(choices.experience.expected[leg])),
        ),
        reviews=pl.DataFrame(
            {
                "review_id": review_id,
                "event_id": bought["event_id"][reviewing.purchase],
                "overall": [LEVELS[telling.overall] for telling in tellings],
            }
        ),
        opinions=pl.DataFrame(
            opinions, schema=named | {"polarity": pl.Float64} | span, orient="row"
        ),
        needs=pl.DataFrame(needs, schema=named | span, orient="row"),
        incidents=pl.DataFrame(schema=INCIDENT_SCHEMA),
    )
