"""Training over several processes with gloo, against training in one."""

import pickle
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from tiny_shop import random_browsing, random_features, walking_interactions

from recsys.history_weights import HistoryWeights
from recsys.retrieval import TrainedTowers
from recsys.sharding import fit_sharded_towers
from recsys.tower_fitting import fit_towers
from recsys.two_tower_config import TowerData, TrainingConfig, TwoTowerConfig

pytestmark = pytest.mark.slow
TRAINING = TrainingConfig(
    patience=0,
    num_hard_negatives=0,
    batch_size=50,
    num_uniform_negatives=4,
    epochs=4,
    max_history=4,
)
# TorchRec cuts columns into shards of at least 128.
DIM = {"table_wise": 8, "column_wise": 256}


def data() -> TowerData:
    return TowerData(
        interactions=walking_interactions(),
        browse_log=random_browsing(7, num_users=60),
        features=random_features(2),
        weights=HistoryWeights(),
    )


def towers(sharding: str) -> TwoTowerConfig:
    return TwoTowerConfig(dim=DIM[sharding], hidden_dim=16, dropout=0.0)


def work(rank: int, world_size: int, shardings: list[str], folder: Path) -> None:
    """One process: train each way, and leave what came back as `<rank>.pickle`."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder / 'meeting'}",
        rank=rank,
        world_size=world_size,
        timeout=timedelta(seconds=60),
    )
    try:
        fitted = {
            sharding: fit_sharded_towers(
                data(), towers(sharding), TRAINING, device="cpu", sharding_types=(sharding,)
            )
            for sharding in shardings
        }
        (folder / f"{rank}.pickle").write_bytes(pickle.dumps(fitted))
    finally:
        dist.destroy_process_group()


def trained(
    world_size: int, shardings: list[str], folder: Path
) -> list[dict[str, TrainedTowers | None]]:
    """What each process got back, by sharding."""
    mp.start_processes(  # type: ignore[attr-defined]
        work, (world_size, shardings, folder), nprocs=world_size, start_method="spawn"
    )
    return [pickle.loads((folder / f"{rank}.pickle").read_bytes()) for rank in range(world_size)]


@pytest.fixture(scope="module")
def of_two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, TrainedTowers | None]]:
    return trained(2, list(DIM), tmp_path_factory.mktemp("two"))


@pytest.mark.parametrize("sharding", DIM)
def test_two_processes_leave_whole_towers_on_the_first(
    of_two: list[dict[str, TrainedTowers | None]], sharding: str
) -> None:
    first, second = (fitted[sharding] for fitted in of_two)

    assert second is None
    assert first is not None
    assert first.losses[-1] < 0.9 * first.losses[0]
    assert first.item_vectors.shape == (12, DIM[sharding] + 2)
    assert np.isfinite(first.item_vectors).all()
    for table, num_rows in (("item_table", 12), ("category_table", 4), ("brand_table", 3)):
        weights = first.query.arrays()[table]
        assert weights.shape == (num_rows, DIM[sharding])
        assert (weights != 0).any(axis=0).all(), f"columns of {table} were not gathered"
    assert all(np.isfinite(array).all() for array in first.query.arrays().values())


def test_one_process_learns_as_without_sharding(tmp_path: Path) -> None:
    (sharded,) = trained(1, ["table_wise"], tmp_path)
    alone = fit_towers(data(), towers("table_wise"), TRAINING)
    # The same batches from other initial weights: the losses agree within 15%.
    assert sharded["table_wise"] is not None
    np.testing.assert_allclose(sharded["table_wise"].losses, alone.losses, rtol=0.15)
