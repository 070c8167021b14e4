"""Two-tower fits under Ray Train: one worker here, more by flag, one GPU a worker where asked."""

import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jobs.ray_progress import StepCounter, watch
from jobs.ray_session import ray_session
from recsys.query_tower import QueryTowerWeights
from recsys.retrieval import TowerTrainer, TrainedTowers
from recsys.two_tower_config import TowerData, TrainingConfig, TwoTowerConfig

_QUERY = "query."


@dataclass(frozen=True, kw_only=True)
class TrainerConfig:
    """Where two-towers are trained.

    Attributes:
        num_workers: Processes; above one the tables are sharded over them.
        use_gpu: One GPU a worker; tables are sharded there even with one worker.
        threads: CPU threads of each worker.
        storage_path: Folder or address all workers can write to; None for a local scratch folder.
    """

    num_workers: int = 1
    use_gpu: bool = False
    threads: int = 2
    storage_path: str | None = None

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.num_workers < 1:
            raise ValueError(f"num_workers must be at least 1, not {self.num_workers}")


def ray_tower_trainer(
    config: TrainerConfig, *, progress: Callable[[int, int], None] = lambda done, total: None
) -> TowerTrainer:
    """Return a trainer that fits one two-tower after the other in one Ray Train run.

    Args:
        config: Where to train.
        progress: Called with epochs done and epochs in all.
    """

    def train(
        worlds: list[TowerData], towers: TwoTowerConfig, training: TrainingConfig
    ) -> list[TrainedTowers]:
        with ray_session(), tempfile.TemporaryDirectory(prefix="sentirec-train-") as scratch:
            return _train(worlds, towers, training, config, scratch, progress)

    return train


def _train(
    worlds: list[TowerData],
    towers: TwoTowerConfig,
    training: TrainingConfig,
    config: TrainerConfig,
    scratch: str,
    progress: Callable[[int, int], None],
) -> list[TrainedTowers]:
    import ray
    from ray.train import CheckpointConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    total = training.epochs * len(worlds)
    counter = ray.remote(num_cpus=0)(StepCounter).remote()
    trainer = TorchTrainer(
        _worker,
        train_loop_config={
            "worlds": [ray.put(world) for world in worlds],
            "towers": towers,
            "training": training,
            "threads": config.threads,
            "counter": counter,
            "total": total,
        },
        scaling_config=ScalingConfig(num_workers=config.num_workers, use_gpu=config.use_gpu),
        run_config=RunConfig(
            storage_path=config.storage_path or scratch,
            name="two-tower",
            checkpoint_config=CheckpointConfig(num_to_keep=1),
        ),
    )
    done = threading.Event()
    watcher = threading.Thread(target=watch, args=(counter, done, progress), daemon=True)
    watcher.start()
    try:
        result = trainer.fit()
    finally:
        done.set()
        watcher.join()
    if result.checkpoint is None:
        raise RuntimeError("two-tower training ended without a checkpoint")
    with result.checkpoint.as_directory() as folder:
        return [load_towers(Path(folder) / f"{number}.npz") for number in range(len(worlds))]


def _worker(loop: dict[str, Any]) -> None:
    """Fit every world in turn; rank 0 leaves them all in one checkpoint."""
    import ray
    import torch
    from ray import train
    from ray.train.torch import get_device

    from recsys.sharding import fit_sharded_towers
    from recsys.tower_fitting import fit_towers

    torch.set_num_threads(loop["threads"])
    context = train.get_context()
    device, is_first = str(get_device()), context.get_world_rank() == 0
    is_sharded = context.get_world_size() > 1 or device.startswith("cuda")

    def on_epoch(epoch: int, loss: float) -> None:
        if is_first:
            loop["counter"].advance.remote(loop["total"])

    fit = fit_sharded_towers if is_sharded else fit_towers
    with tempfile.TemporaryDirectory() as folder:
        for number, reference in enumerate(loop["worlds"]):
            trained = fit(
                ray.get(reference),
                loop["towers"],
                loop["training"],
                device=device,
                on_epoch=on_epoch,
            )
            if trained is not None:
                save_towers(trained, Path(folder) / f"{number}.npz")
        checkpoint = train.Checkpoint.from_directory(folder) if is_first else None
        train.report({}, checkpoint=checkpoint)


def save_towers(towers: TrainedTowers, path: Path) -> None:
    """Write trained towers as one `.npz`."""
    arrays = {f"{_QUERY}{name}": array for name, array in towers.query.arrays().items()}
    np.savez(path, item_vectors=towers.item_vectors, losses=np.array(towers.losses), **arrays)  # type: ignore[arg-type]


def load_towers(path: Path) -> TrainedTowers:
    """Read what `save_towers` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        query = {
            name.removeprefix(_QUERY): arrays[name] for name in arrays if name.startswith(_QUERY)
        }
        return TrainedTowers(
            query=QueryTowerWeights(**query),
            item_vectors=arrays["item_vectors"],
            losses=arrays["losses"].tolist(),
        )
