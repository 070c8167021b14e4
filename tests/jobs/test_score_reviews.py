"""Scoring: once per review, restartable after a kill of a worker or of the driver."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from deltalake import write_deltalake

from features.schema import TABLES
from features.store import Store
from jobs.errors import BadInputError
from jobs.ray_session import ray_session
from jobs.score_reviews import ScoreConfig, score
from sentiment.schema import ReviewSignals
from sentiment.scorer import ScorerConfig

# In bfloat16 a text's signals depend a little on what else is in its batch.
CONFIG = ScoreConfig(scorer=ScorerConfig(max_tokens=48, precision="fp32"), window=64)
# fmt: off
WORDS = [
    "great", "poor", "sturdy", "loud", "cheap", "soft", "broken", "lovely", "strap", "cable",
    "sound", "box", "lamp", "shoe", "tuner",
]
# fmt: on

DRIVER = """
import sys
from features.store import Store
from jobs.score_reviews import ScoreConfig, score
from sentiment.scorer import ScorerConfig
config = ScoreConfig(scorer=ScorerConfig(max_tokens=48, precision="fp32"), window=64)
score(Store(sys.argv[1]), config, progress=lambda done, total: print(done, flush=True))
"""


def reviews(num: int, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    texts = [" ".join(rng.choice(WORDS, rng.integers(3, 40))) for _ in range(num)]
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return pl.DataFrame(
        {
            "review_id": [f"r{row:05d}" for row in range(num)],
            "user_id": [f"u{row % 37}" for row in range(num)],
            "item_id": [f"i{row % 11}" for row in range(num)],
            "rating": [float(1 + row % 5) for row in range(num)],
            "title": [None] * num,
            "text": texts,
            "source": ["review"] * num,
            "thread_id": [None] * num,
            "verified": [None] * num,
            "helpful_votes": [None] * num,
            "event_time": [start + timedelta(minutes=row) for row in range(num)],
            "seq": range(num),
        },
        schema=TABLES["reviews"].create_empty().schema,
    )


def store_with(folder: Path, frame: pl.DataFrame) -> Store:
    store = Store(folder)
    store.append("reviews", frame)
    return store


def signals(store: Store) -> pl.DataFrame:
    return store.scan("review_signals").sort("review_id").collect()


def assert_same_signals(left: pl.DataFrame, right: pl.DataFrame) -> None:
    assert left["review_id"].to_list() == right["review_id"].to_list()
    for name in ("p_negative", "p_neutral", "p_positive", "polarity", "stars_expected"):
        np.testing.assert_allclose(left[name].to_numpy(), right[name].to_numpy(), atol=1e-5)
    np.testing.assert_allclose(
        left["embedding"].to_numpy(), right["embedding"].to_numpy(), atol=1e-5
    )


@pytest.fixture(scope="module", autouse=True)
def one_ray() -> Iterator[None]:
    """One Ray for all tests here: runs inside join it."""
    with ray_session():
        yield


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    return reviews(640)


@pytest.fixture(scope="module")
def clean(frame: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """Signals of a run that nothing disturbed."""
    store = store_with(tmp_path_factory.mktemp("clean"), frame)
    report = score(store, CONFIG)
    assert report.scored == len(frame)
    return signals(store)


def test_signals_satisfy_their_contract(clean: pl.DataFrame) -> None:
    ReviewSignals.validate(clean)
    assert clean["review_id"].n_unique() == len(clean)


def test_three_steps_say_what_one_says(
    frame: pl.DataFrame, clean: pl.DataFrame, tmp_path: Path
) -> None:
    store = store_with(tmp_path, frame)
    score(store, replace(CONFIG, num_cpu_actors=1))
    stepwise = signals(store)
    assert_same_signals(stepwise, clean)
    for name in ("language", "truncated", "mixed", "needs"):
        assert stepwise[name].equals(clean[name])
    assert stepwise["aspects"].list.len().equals(clean["aspects"].list.len())


def test_signals_of_an_older_contract_are_made_anew(frame: pl.DataFrame, tmp_path: Path) -> None:
    store = store_with(tmp_path, frame[:8])
    score(store, CONFIG)
    older = pl.scan_delta(str(store.path("tables/review_signals"))).collect().drop("mixed")
    write_deltalake(
        str(store.path("tables/review_signals")), older, mode="overwrite", schema_mode="overwrite"
    )
    assert score(store, CONFIG).scored == 8
    ReviewSignals.validate(signals(store))


def test_only_new_reviews_are_scored_and_equal_words_are_copied(
    frame: pl.DataFrame, clean: pl.DataFrame, tmp_path: Path
) -> None:
    store = store_with(tmp_path, frame.head(64))
    first = score(store, CONFIG)
    twin = frame.head(1).with_columns(review_id=pl.lit("twin"))
    store.append("reviews", pl.concat([frame[64:96], twin]))
    second = score(store, CONFIG)
    third = score(store, CONFIG)
    assert (first.scored, first.copied, first.unchanged) == (64, 0, 0)
    assert (second.scored, second.copied, second.unchanged) == (32, 1, 64)
    assert (third.scored, third.copied, third.unchanged) == (0, 0, 97)
    result = signals(store)
    assert_same_signals(
        result.filter(pl.col("review_id") != "twin"), clean.filter(pl.col("review_id") < "r00096")
    )
    assert result.filter(pl.col("review_id") == "twin")["polarity"].item() == clean["polarity"][0]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_driver_killed_half_way_then_run_again(
    frame: pl.DataFrame, clean: pl.DataFrame, tmp_path: Path
) -> None:
    store = store_with(tmp_path, frame)
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert driver.stdout is not None
    for line in driver.stdout:
        if line.strip().isdigit() and int(line) >= 128:
            break
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    driver.stdout.close()
    committed = len(signals(store))
    assert 128 <= committed < len(frame)
    report = score(store, CONFIG)
    assert report.unchanged == committed
    assert report.scored == len(frame) - committed
    assert_same_signals(signals(store), clean)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_worker_killed_half_way_loses_and_doubles_nothing(
    frame: pl.DataFrame, clean: pl.DataFrame, tmp_path: Path
) -> None:
    store = store_with(tmp_path, frame)
    killed: list[int] = []

    def kill_the_actor_once(done: int, total: int) -> None:
        if done >= 128 and not killed:
            killed.extend(scoring_actor_pids())
            assert killed, "no scoring actor found to kill"
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    report = score(store, CONFIG, progress=kill_the_actor_once)
    assert killed
    assert report.scored == len(frame)
    assert_same_signals(signals(store), clean)


def scoring_actor_pids() -> list[int]:
    """Pids of this process's scoring actors: descendants whose title names the actor."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            title = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if title.startswith("ray::") and "ScoringActor" in title and is_descendant(folder.name):
            found.append(int(folder.name))
    return found


def is_descendant(pid: str) -> bool:
    while pid not in ("0", "1"):
        if pid == str(os.getpid()):
            return True
        try:
            status = Path("/proc", pid, "stat").read_text()
        except OSError:
            return False
        pid = status.rsplit(")", 1)[1].split()[1]
    return False


def test_more_actors_than_fit_are_refused(frame: pl.DataFrame, tmp_path: Path) -> None:
    store = store_with(tmp_path, frame[:8])
    with pytest.raises(BadInputError, match="num_cpu_actors is 99 and at most"):
        score(store, replace(CONFIG, num_cpu_actors=99))


def test_no_reviews_says_what_to_run(tmp_path: Path) -> None:
    from features.errors import StoreError

    with pytest.raises(StoreError, match="ingest"):
        score(Store(tmp_path), CONFIG)
