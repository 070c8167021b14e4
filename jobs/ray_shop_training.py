"""Training on a shop's own labels under Ray Train: several processes, one GPU each where asked."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from jobs.evaluate_sentiment import LabelledTexts
from jobs.ray_progress import StepCounter, watch
from jobs.ray_session import ray_session
from jobs.train_shop_model import ShopReport, ShopTraining, train_shop_model
from sentiment.model_file import TrainedModel, fresh_model, load_model


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a training begins from: a file of a review model, or a base encoder."""

    model: Path | None = None
    encoder: str | None = None
    seed: int = 0

    def load(self) -> TrainedModel:
        """Load it."""
        if self.encoder is not None:
            return fresh_model(self.encoder, seed=self.seed)
        assert self.model is not None
        return load_model(self.model)


def train_on_ray(
    start: Start,
    labelled: LabelledTexts,
    out: Path,
    config: ShopTraining,
    *,
    num_workers: int,
    use_gpu: bool,
    threads: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ShopReport:
    """Train in several processes; each reads a part of every batch, gradients are averaged.

    Args:
        start: What to begin from; every worker loads it.
        labelled: Texts and classes.
        out: Folder that all workers can reach; the first one writes there.
        config: How.
        num_workers: Processes.
        use_gpu: One GPU a worker.
        threads: CPU threads of each worker.
        progress: Called with steps done and steps in all.
    """
    import ray
    from ray.train import ScalingConfig
    from ray.train.torch import TorchTrainer

    with ray_session():
        counter: Any = ray.remote(num_cpus=0)(StepCounter).remote()
        trainer = TorchTrainer(
            _worker,
            train_loop_config={
                "start": start,
                "labelled": ray.put(labelled),
                "out": str(out.resolve()),
                "config": config,
                "threads": threads,
                "counter": counter,
            },
            scaling_config=ScalingConfig(num_workers=num_workers, use_gpu=use_gpu),
        )
        done = threading.Event()
        watcher = threading.Thread(target=watch, args=(counter, done, progress), daemon=True)
        watcher.start()
        try:
            trainer.fit()
        finally:
            done.set()
            watcher.join()
        report = ray.get(counter.kept.remote())
    if report is None:
        raise RuntimeError("the training ended without a report")
    return cast(ShopReport, report)


def _worker(loop: dict[str, Any]) -> None:
    import ray
    from ray.train import get_context
    from ray.train.torch import get_device

    from sentiment.parallel import Parallel
    from sentiment.torch_threads import use_threads

    use_threads(loop["threads"])
    context = get_context()
    parallel = Parallel(rank=context.get_world_rank(), size=context.get_world_size())
    report = train_shop_model(
        loop["start"].load,
        ray.get(loop["labelled"]),
        Path(loop["out"]),
        loop["config"],
        device=str(get_device()),
        progress=lambda done, total: loop["counter"].advance.remote(total),
        parallel=parallel,
    )
    if parallel.is_first:
        ray.get(loop["counter"].keep.remote(report))
