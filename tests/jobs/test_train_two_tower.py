"""Two-towers under Ray Train: what a kill leaves is taken up again, and ends the same."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from jobs.ray_session import ray_session
from jobs.torn_snapshots import SNAPSHOT, checkpoint_without_snapshot
from jobs.train_two_tower import TrainerConfig, ray_tower_trainer, run_name
from recsys.history_weights import HistoryWeights
from recsys.interactions import Interactions
from recsys.item_features import DENSE_COLUMNS, ItemFeatures
from recsys.retrieval import TrainedTowers
from recsys.tower_fitting import fit_each
from recsys.two_tower_config import TowerData, TrainingConfig, TwoTowerConfig

NUM_USERS, NUM_ITEMS = 60, 12
TOWERS = TwoTowerConfig(dim=8, hidden_dim=16, dropout=0.2)
TRAINING = TrainingConfig(
    batch_size=16, num_uniform_negatives=4, num_hard_negatives=4, epochs=8, patience=8
)
MARK = 0.125
"""A recall that no epoch has; it is too low to decide how many epochs are good."""

DRIVER = """
import sys
sys.path.insert(0, sys.argv[1])
from jobs.train_two_tower import TrainerConfig, ray_tower_trainer
from test_train_two_tower import TOWERS, TRAINING, worlds
trainer = ray_tower_trainer(
    TrainerConfig(threads=1, storage_path=sys.argv[2], checkpoint_every_s=0.0),
    progress=lambda done, total: print(done, flush=True),
)
trainer(worlds(), TOWERS, TRAINING)
"""


def worlds() -> list[TowerData]:
    """Two small worlds: every user takes six items in the order of the catalogue."""
    user, step = np.repeat(np.arange(NUM_USERS), 6), np.tile(np.arange(6), NUM_USERS)
    rng = np.random.default_rng(0)
    num_categories = rng.integers(0, 3, NUM_ITEMS)
    features = ItemFeatures(
        dense=rng.normal(size=(NUM_ITEMS, len(DENSE_COLUMNS))).astype(np.float32),
        text=np.zeros((NUM_ITEMS, 4), dtype=np.float32),
        category_indptr=np.concatenate([[0], np.cumsum(num_categories)]),
        category_idx=rng.integers(0, 4, num_categories.sum()).astype(np.int32),
        num_categories=4,
        brand_idx=rng.integers(0, 3, NUM_ITEMS).astype(np.int32),
        num_brands=3,
    )
    walks = Interactions(
        num_users=NUM_USERS,
        num_items=NUM_ITEMS,
        user_idx=user.astype(np.int32),
        item_idx=((user + step) % NUM_ITEMS).astype(np.int32),
        event_time=step.astype(np.int64) * 1_000_000,
        session_start=step.astype(np.int64) * 1_000_000,
        sentiment=np.full(len(user), np.nan, dtype=np.float32),
        stars=np.full(len(user), np.nan, dtype=np.float32),
    )
    nothing = walks.keep(np.zeros(len(user), dtype=bool))
    world = TowerData(
        interactions=walks, browse_log=nothing, features=features, weights=HistoryWeights()
    )
    return [world, replace(world, interactions=walks.keep(step < 5))]


@pytest.fixture(scope="module", autouse=True)
def one_ray() -> Iterator[None]:
    """One Ray for all tests here: runs inside join it."""
    with ray_session():
        yield


@pytest.fixture(scope="module")
def undisturbed() -> list[TrainedTowers]:
    """What a run ends with that nothing disturbed."""
    found = ray_tower_trainer(TrainerConfig(threads=1))(worlds(), TOWERS, TRAINING)
    for one, alone in zip(found, fit_each(worlds(), TOWERS, TRAINING), strict=True):
        assert one.losses == pytest.approx(alone.losses, rel=1e-3), "as in this process"
    return found


def assert_same(found: list[TrainedTowers], wanted: list[TrainedTowers]) -> None:
    for one, other in zip(found, wanted, strict=True):
        assert one.losses == other.losses
        assert one.recalls == other.recalls
        np.testing.assert_array_equal(one.item_vectors, other.item_vectors)


def below(process: int) -> list[psutil.Process]:
    """Return the processes that one started, and those that they started."""
    return psutil.Process(process).children(recursive=True)


def train_workers() -> list[psutil.Process]:
    """Return the workers of this process's Ray Train."""
    return [one for one in below(os.getpid()) if b"RayTrainWorker" in title(one)]


def title(process: psutil.Process) -> bytes:
    try:
        return Path(f"/proc/{process.pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_a_worker_that_dies_is_begun_anew_from_its_last_epoch(
    undisturbed: list[TrainedTowers],
) -> None:
    killed: list[psutil.Process] = []

    def kill_once(done: int, total: int) -> None:
        assert total == 4 * TRAINING.epochs
        if not killed and done >= 3:
            killed.extend(train_workers())
            for process in killed:
                process.kill()

    config = TrainerConfig(threads=1, checkpoint_every_s=0.0)
    trainer = ray_tower_trainer(config, progress=kill_once)
    found = trainer(worlds(), TOWERS, TRAINING)
    assert killed, "the run ended before its worker could be killed"
    assert_same(found, undisturbed)


def mark(progress: Path) -> None:
    """Write into a checkpoint what only a run that takes it up can know."""
    try:
        kept = torch.load(progress)
    except (OSError, RuntimeError, EOFError):
        return  # The one that was being written.
    kept["recalls"][0] = MARK
    torch.save(kept, progress)


def test_a_killed_run_goes_on_where_it_was(
    undisturbed: list[TrainedTowers], tmp_path: Path
) -> None:
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    command = [sys.executable, "-c", DRIVER, str(Path(__file__).parent), str(whole)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=os.getcwd()) as driver:
        assert driver.stdout is not None
        reached = next(done for done in map(int, driver.stdout) if done >= 4)
        # As when a machine stops: with Ray left alive, its controller would write on for a while.
        run = [psutil.Process(driver.pid), *below(driver.pid)]
        for process in run:
            process.kill()
        _, alive = psutil.wait_procs(run, timeout=30)
    assert not alive
    assert reached < 4 * TRAINING.epochs
    for progress in whole.glob("*/checkpoint_*/0.0.pt"):
        mark(progress)
    shutil.copytree(whole, torn)
    (snapshot,) = torn.glob(f"*/{SNAPSHOT}")
    snapshot.write_bytes(b"")

    for folder in (whole, torn):
        trainer = ray_tower_trainer(TrainerConfig(threads=1, storage_path=str(folder)))
        first, second = trainer(worlds(), TOWERS, TRAINING)
        assert first.recalls[0] == MARK, "it began anew"
        first.recalls[0] = undisturbed[0].recalls[0]
        assert_same([first, second], undisturbed)


def test_of_checkpoints_without_a_list_the_newest_whole_one_is_taken(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        (tmp_path / "run" / f"checkpoint_{number}").mkdir(parents=True)

    def found() -> Path | None:
        return checkpoint_without_snapshot(
            str(tmp_path), "run", lambda folder: folder.name != "checkpoint_3"
        )

    snapshot = tmp_path / "run" / SNAPSHOT
    assert found() == tmp_path / "run" / "checkpoint_2", "none was written yet"
    snapshot.write_text('{"checkpoint_results": [')
    assert found() == tmp_path / "run" / "checkpoint_2"
    assert not snapshot.exists(), "Ray cannot begin with it"
    snapshot.write_text("{}")
    assert found() is None, "Ray knows by itself"
    assert checkpoint_without_snapshot(str(tmp_path), "other", lambda folder: True) is None


def test_a_run_is_found_again_by_what_it_trains() -> None:
    config = TrainerConfig()
    name = run_name(worlds(), TOWERS, TRAINING, config)
    assert run_name(worlds(), TOWERS, TRAINING, config) == name
    fewer = [worlds()[1], worlds()[1]]
    others = {
        run_name(fewer, TOWERS, TRAINING, config),
        run_name(worlds()[:1], TOWERS, TRAINING, config),
        run_name(worlds(), replace(TOWERS, dim=16), TRAINING, config),
        run_name(worlds(), TOWERS, replace(TRAINING, seed=1), config),
        run_name(worlds(), TOWERS, TRAINING, TrainerConfig(num_workers=2)),
    }
    assert name not in others
    assert len(others) == 5
