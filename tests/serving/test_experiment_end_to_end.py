"""Two bundles, with and without sentiment, are shown side by side; what happened decides."""

import json
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from published_shop import AS_OF, Published
from test_serve_command import serving

from features.store import Store
from jobs.sample_shop import expected_satisfaction
from recsys.bundle import write_bundle
from recsys.cuts import positional_cuts
from recsys.fitting import fit_and_test
from recsys.ranker_config import RankerConfig
from recsys.retrieval import RecommenderConfig
from recsys.tower_fitting import fit_each
from recsys.two_tower_config import TrainingConfig
from recsys.world import ShopTables
from serving.client import Client
from serving.processes import free_port

SERVE = """
[serve]
sentiment_replicas = 0

[[serve.experiments]]
name = "sentiment"
surfaces = ["home"]

[[serve.experiments.variants]]
name = "felt"
weight = 1

[[serve.experiments.variants]]
name = "blind"
weight = 1
bundle = "blind"

[serve.experiments.variants.rerank]
suppress_brand = 0
demote_drifting = 0
"""
PLAN = """
name = "sentiment"
start = {start}
end = {end}
window_days = 1
pre_period_days = 0

[control]
name = "blind"

[treatment]
name = "felt"

[minimum_effect]
absolute = 0.2

[[metrics]]
name = "satisfaction"
kind = "satisfaction"
role = "primary"

[[metrics]]
name = "purchases"
kind = "mean"
event = "purchase"
role = "guardrail"
margin = 0.5
"""
WORDS = (
    (0.35, "Terrible, it broke and I hate it."),
    (0.65, "It is okay."),
    (2, "I love it, great!"),
)


def add_blind_bundle(published: Published) -> None:
    """Fit once more on what was done alone, not on what was felt."""
    shop = published.shop
    tables = ShopTables(
        items=shop.items,
        events=shop.events,
        reviews=shop.reviews.clear(),
        signals=published.signals.clear(),
    )
    config = RecommenderConfig(
        training=TrainingConfig(epochs=3), ranker=RankerConfig(num_trees=(30,))
    )
    cuts = positional_cuts(
        tables.events, tables.reviews, num_learned=config.label_positions, as_of=AS_OF
    )
    fitted = fit_and_test(tables, cuts, config, fit_each)
    assert fitted.recommender is not None
    write_bundle(
        published.bundles / "blind",
        fitted.recommender,
        created_at=AS_OF.isoformat(),
        metrics=fitted.metrics,
        data={"num_test_users": fitted.num_test_users},
        code={"version": "test"},
    )


def sentirec(folder: Path, *arguments: str) -> int:
    """Run a command as a person would, and return its exit code."""
    ended = subprocess.run(
        [sys.executable, "-m", "jobs.cli", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert "Traceback" not in ended.stderr, ended.stderr
    assert ended.returncode in (0, 3, 4), ended.stderr
    return ended.returncode


@pytest.mark.slow
def test_what_was_shown_and_felt_decides(published: Published) -> None:
    add_blind_bundle(published)
    folder, rng = published.root, np.random.default_rng(3)
    (folder / "sentirec.toml").write_text(SERVE + f'\n[store]\npath = "{folder}"\n')
    start = datetime.now(UTC) - timedelta(minutes=1)
    moments = {"start": start.isoformat(), "end": (start + timedelta(hours=1)).isoformat()}
    (folder / "abtest.toml").write_text(PLAN.format(**moments))

    satisfaction = expected_satisfaction(published.shop.truth)
    happy = dict(
        zip(satisfaction["user_id"], satisfaction.drop("user_id").rows(named=True), strict=True)
    )
    users = [user for user in satisfaction["user_id"] if rng.random() < 0.8]
    variant_of: dict[str, str] = {}
    purchases: Counter[str] = Counter()
    port, log = free_port(), folder / "stderr.txt"
    with serving(published, port, log) as process:
        assert process.stdout is not None
        assert process.stdout.readline(), log.read_text()
        with Client(f"http://127.0.0.1:{port}") as client:
            for user in users:
                answered = client.recommend(user_id=user, surface="home", k=5)
                assert answered.variant is not None
                assert answered.experiment == "sentiment"
                variant_of[user] = answered.variant
                events = []
                for place, item in enumerate(answered.items):
                    if rng.random() > 1 / (1 + place):
                        continue
                    events.append(event(user, item.item_id, "click", answered.recommendation_id))
                    if rng.random() < 0.6:
                        events.append(
                            event(user, item.item_id, "purchase", answered.recommendation_id)
                        )
                        purchases[answered.variant] += 1
                        mood = happy[user][item.item_id]
                        text = next(words for limit, words in WORDS if mood < limit)
                        client.send_review(
                            review_id=f"{user}-{item.item_id}",
                            user_id=user,
                            item_id=item.item_id,
                            text=text,
                        )
                if events:
                    client.send_events(events)
    assert sentirec(folder, "ingest", "--from-event-log", "--store", str(folder)) == 0
    assert sentirec(folder, "score", "--store", str(folder)) == 0
    report, told = folder / "report.html", folder / "told.json"
    code = sentirec(
        folder,
        "abtest",
        "analyze",
        "--store",
        str(folder),
        "--out",
        str(report),
        "--json",
        str(told),
    )
    found = json.loads(told.read_text())

    # What the job read is what happened, and what it says is what it leaves as exit code.
    assert found["users"] == dict(Counter(variant_of.values()))
    of_metric = {
        name: {
            variant: metric[arm] for variant, arm in (("blind", "control"), ("felt", "treatment"))
        }
        for name, metric in found["metrics"].items()
    }
    for variant, num_users in found["users"].items():
        bought = of_metric["purchases"][variant]["estimate"] * num_users
        assert round(bought) == pytest.approx(bought, abs=1e-5)
        assert round(bought) == purchases[variant]
        polarity = signals_of(folder, [user for user in users if variant_of[user] == variant])
        assert len(polarity) == purchases[variant]
        estimate = of_metric["satisfaction"][variant]["estimate"]
        assert estimate == pytest.approx(polarity.mean(), abs=1e-6)
    decision = found["decision"]
    assert code == {"ship": 0, "do not ship": 3, "not decidable": 4}[decision]
    assert decision in report.read_text()


def signals_of(store: Path, users: list[str]) -> pl.Series:
    """Return the polarity of the reviews that some users wrote, as the batch has read them."""
    opened = Store(store)
    own = opened.scan("reviews").filter(pl.col("user_id").is_in(users))
    return own.join(opened.scan("review_signals"), on="review_id").collect()["polarity"]


def event(user: str, item: str, kind: str, recommendation: str | None) -> dict[str, object]:
    return {
        "event_id": f"{kind}-{user}-{item}",
        "user_id": user,
        "item_id": item,
        "event_type": kind,
        "recommendation_id": recommendation,
        "surface": "home",
    }
