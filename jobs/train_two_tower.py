"""Two-tower fits under Ray Train: one worker here, more by flag, one GPU a worker where asked.

At the end of an epoch, every `checkpoint_every_s`, the workers leave what they have come to. A
worker that dies is begun anew from there, and so is a whole run that was killed, where
`storage_path` outlives it: it is found again by the fingerprint of its data and settings, even if
the kill tore Ray's list of checkpoints (`jobs.torn_snapshots`).

A checkpoint holds `<number>.npz`, the towers of each world that is done, and `<number>.<rank>.pt`,
the progress of each worker in the world that is not.
"""

import hashlib
import shutil
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from jobs.ray_progress import StepCounter, watch
from jobs.ray_session import ray_session
from jobs.torn_snapshots import checkpoint_without_snapshot
from recsys.item_tower import ItemTowerWeights
from recsys.query_tower import QueryTowerWeights
from recsys.retrieval import TowerTrainer, TrainedTowers
from recsys.two_tower_config import TowerData, TrainingConfig, TwoTowerConfig
from recsys.two_tower_progress import Progress

_QUERY, _ITEM = "query.", "item."


@dataclass(frozen=True, kw_only=True)
class TrainerConfig:
    """Where two-towers are trained.

    Attributes:
        num_workers: Processes; above one the tables are sharded over them.
        use_gpu: One GPU a worker; tables are sharded there even with one worker.
        threads: CPU threads of each worker.
        storage_path: Folder or address all workers can write to, where a killed run is taken up
            again; None for a scratch folder that ends with the run.
        max_failures: So many times workers that died are begun anew.
        checkpoint_every_s: Seconds between checkpoints, at least.
    """

    num_workers: int = 1
    use_gpu: bool = False
    threads: int = 2
    storage_path: str | None = None
    max_failures: int = 2
    checkpoint_every_s: float = 20.0

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


def run_name(
    worlds: list[TowerData],
    towers: TwoTowerConfig,
    training: TrainingConfig,
    config: TrainerConfig,
) -> str:
    """Return a name that says what is trained: another for other data, settings or workers."""
    digest = hashlib.sha256()
    settings = (towers, training, [world.weights for world in worlds])
    digest.update(repr((settings, config.num_workers, config.use_gpu)).encode())
    for world in worlds:
        for part in (world.interactions, world.browse_log, world.features):
            for field in fields(part):
                value = getattr(part, field.name)
                if value is not None:
                    digest.update(np.ascontiguousarray(value).tobytes())
    return f"two-tower-{digest.hexdigest()[:16]}"


def _train(
    worlds: list[TowerData],
    towers: TwoTowerConfig,
    training: TrainingConfig,
    config: TrainerConfig,
    scratch: str,
    progress: Callable[[int, int], None],
) -> list[TrainedTowers]:
    import ray
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    storage_path = config.storage_path or scratch
    if "://" not in storage_path:
        storage_path = str(Path(storage_path).resolve())
    name = run_name(worlds, towers, training, config)
    orphan = checkpoint_without_snapshot(storage_path, name, _is_whole)
    counter = ray.remote(num_cpus=0)(StepCounter).remote()
    trainer = TorchTrainer(
        _worker,
        train_loop_config={
            "worlds": [ray.put(world) for world in worlds],
            "towers": towers,
            "training": training,
            "threads": config.threads,
            "counter": counter,
            "checkpoint_every_s": config.checkpoint_every_s,
            "orphan": None if orphan is None else str(orphan),
        },
        scaling_config=ScalingConfig(num_workers=config.num_workers, use_gpu=config.use_gpu),
        run_config=RunConfig(
            storage_path=storage_path,
            name=name,
            checkpoint_config=CheckpointConfig(num_to_keep=1),
            failure_config=FailureConfig(max_failures=config.max_failures),
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
    if orphan is not None:
        shutil.rmtree(orphan, ignore_errors=True)
    if result.checkpoint is None:
        raise RuntimeError("two-tower training ended without a checkpoint")
    with result.checkpoint.as_directory() as folder:
        return [load_towers(Path(folder) / f"{number}.npz") for number in range(len(worlds))]


def _worker(loop: dict[str, Any]) -> None:
    """Fit every world in turn, and leave checkpoints on the way."""
    import ray
    import torch
    from ray import train
    from ray.train.torch import get_device

    from recsys.sharding import fit_sharded_towers
    from recsys.tower_fitting import fit_towers
    from sentiment.torch_threads import use_threads

    use_threads(loop["threads"])
    context = train.get_context()
    device, rank = str(get_device()), context.get_world_rank()
    is_sharded = context.get_world_size() > 1 or device.startswith("cuda")
    fit = fit_sharded_towers if is_sharded else fit_towers
    steps = 2 * loop["training"].epochs
    total = steps * len(loop["worlds"])
    checkpoint = train.get_checkpoint()
    if checkpoint is None and loop["orphan"] is not None:
        checkpoint = train.Checkpoint.from_directory(loop["orphan"])
    finished, begun = _taken_up(checkpoint, rank)

    left = time.monotonic()

    def is_due() -> bool:
        """Whether it is time for a checkpoint: the first worker's clock decides for all."""
        waited = time.monotonic() - left
        due = torch.tensor(int(waited >= loop["checkpoint_every_s"]), device=device)
        if context.get_world_size() > 1:
            torch.distributed.broadcast(due, 0)
        return bool(due)

    def leave(number: int, progress: Progress | None) -> None:
        nonlocal left
        if rank == 0:
            share = 1.0 if progress is None else progress.share(loop["training"])
            loop["counter"].reach.remote(int((number + share) * steps), total)
        is_last = progress is None and number == len(loop["worlds"]) - 1
        if not is_due() and not is_last:
            return
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            if rank == 0:
                for done, towers in finished.items():
                    save_towers(towers, folder / f"{done}.npz")
            if progress is not None:
                torch.save(vars(progress), folder / f"{number}.{rank}.pt")
            # Of workers with nothing to add, an empty checkpoint would hide that of the first.
            kept = any(folder.iterdir())
            train.report({}, checkpoint=train.Checkpoint.from_directory(folder) if kept else None)
        left = time.monotonic()

    for number, reference in enumerate(loop["worlds"]):
        if number < begun.number:
            continue
        trained = fit(
            ray.get(reference),
            loop["towers"],
            loop["training"],
            device=device,
            progress=begun.progress if number == begun.number else None,
            on_epoch=lambda progress, number=number: leave(number, progress),
        )
        if trained is not None:
            finished[number] = trained
        leave(number, None)


@dataclass(frozen=True)
class _Begun:
    """The first world that is not done, and how far it is; None where it was not begun."""

    number: int
    progress: Progress | None


def _taken_up(checkpoint: Any, rank: int) -> tuple[dict[int, TrainedTowers], _Begun]:
    """Return the towers that are done, on the first worker, and where to go on."""
    import torch

    if checkpoint is None:
        return {}, _Begun(0, None)
    with checkpoint.as_directory() as name:
        folder = Path(name)
        done = {int(path.stem): path for path in folder.glob("*.npz")}
        towers = {number: load_towers(path) for number, path in done.items() if rank == 0}
        path = folder / f"{len(done)}.{rank}.pt"
        kept = torch.load(path, map_location="cpu") if path.exists() else None
        return towers, _Begun(len(done), None if kept is None else Progress(**kept))


def _is_whole(folder: Path) -> bool:
    """Whether all files of a checkpoint can be read; files of zip hold their check sums."""
    files = [*folder.glob("*.npz"), *folder.glob("*.pt")]
    return bool(files) and all(_is_whole_zip(path) for path in files)


def _is_whole_zip(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile):
        return False


def save_towers(towers: TrainedTowers, path: Path) -> None:
    """Write trained towers as one `.npz`."""
    arrays = {f"{_QUERY}{name}": array for name, array in towers.query.arrays().items()}
    if towers.item is not None:
        arrays |= {f"{_ITEM}{name}": array for name, array in towers.item.arrays().items()}
    arrays |= {
        "item_vectors": towers.item_vectors,
        "losses": np.array(towers.losses),
        "recalls": np.array(towers.recalls),
    }
    np.savez(path, **arrays)  # type: ignore[arg-type]


def load_towers(path: Path) -> TrainedTowers:
    """Read what `save_towers` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        query = {
            name.removeprefix(_QUERY): arrays[name] for name in arrays if name.startswith(_QUERY)
        }
        item = {name.removeprefix(_ITEM): arrays[name] for name in arrays if name.startswith(_ITEM)}
        return TrainedTowers(
            query=QueryTowerWeights(**query),
            item=ItemTowerWeights(**item) if item else None,
            item_vectors=arrays["item_vectors"],
            losses=arrays["losses"].tolist(),
            recalls=arrays["recalls"].tolist(),
        )
