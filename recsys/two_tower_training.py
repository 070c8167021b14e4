"""Sampled-softmax training of the two towers. No clock, no Ray: those enter as arguments.

A training can be taken up where it was left: its state after an epoch holds everything that decides
the rest, and a training that goes on from it ends with the same weights as one that never stopped.

Shape suffixes: B examples, C candidates, I items, D vector width.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributed._shard.sharded_tensor.api import ShardedTensor

from recsys.errors import NotEnoughDataError
from recsys.item_features import ItemFeatures
from recsys.two_tower import TwoTower, history_tensors, to_kjt
from recsys.two_tower_batches import Batch, Examples, validation_rows
from recsys.two_tower_config import TowerData, TrainingConfig, TwoTowerConfig
from recsys.two_tower_inputs import NUM_QUERY_FEATURES, item_bags
from recsys.two_tower_progress import Progress

RECALL_DEPTH = 100
_ITEMS_A_PASS = 8192
_SCORES_A_PASS = 20_000_000


def corrected_loss(query_BD: Tensor, item_CD: Tensor, batch: Batch) -> Tensor:
    """Softmax cross-entropy over the candidates, each logit less its log chance."""
    logits_BC = logits(query_BD, item_CD, batch.recent_BC) - batch.log_chance_C
    return nn.functional.cross_entropy(logits_BC, batch.positive_B)


def logits(query_BD: Tensor, item_CD: Tensor, recent_BC: Tensor) -> Tensor:
    """Return the scores of candidates as of each example's own moment."""
    return query_BD[:, :-1] @ item_CD.T + query_BD[:, -1:] * recent_BC


def train_two_tower(
    model: nn.Module,
    examples: Examples,
    *,
    device: str,
    rank: int = 0,
    world_size: int = 1,
    progress: Progress | None = None,
    on_epoch: Callable[[Progress], None] = lambda progress: None,
) -> Progress:
    """Train in place.

    Args:
        model: A `TwoTower`, or one wrapped by DistributedModelParallel; its tables step in their
            own backward pass.
        examples: What is learned from, and what is held out of it.
        device: Torch device of the model.
        rank: This worker's number.
        world_size: Number of workers; every worker takes each `world_size`-th example.
        progress: Go on from here; None begins.
        on_epoch: Called after each epoch.

    Raises:
        NotEnoughDataError: If no user has two interactions.
    """
    config = examples.config
    num_examples = len(examples.rows) // world_size
    if num_examples == 0:
        raise NotEnoughDataError("two-tower training needs users with at least two distinct items")
    progress = progress or Progress()
    optimizer = torch.optim.AdamW(
        _dense_parameters(model),
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        fused=True,
    )
    steps = config.epochs * -(-num_examples // config.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    if progress.state is not None:
        _restore(progress.state, model, optimizer, schedule, device)
    while not progress.has_enough(config):
        model.train()
        total, seen = 0.0, 0
        for batch in examples.epoch(
            len(progress.losses), rank=rank, world_size=world_size, device=device
        ):
            optimizer.zero_grad()
            queries, items = model(*batch.inputs)
            loss = corrected_loss(queries, items, batch)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(batch.positive_B)
            seen += len(batch.positive_B)
        progress.losses.append(total / seen)
        if len(examples.held_out):
            progress.num_held_out = len(examples.held_out)
            progress.recalls.append(recall_at_100(model, examples, device))
        progress.state = _state(model, optimizer, schedule, device)
        on_epoch(progress)
    model.eval()
    return progress


def train_with_patience(
    fresh: Callable[[], nn.Module],
    data: TowerData,
    towers: TwoTowerConfig,
    training: TrainingConfig,
    *,
    device: str,
    rank: int = 0,
    world_size: int = 1,
    progress: Progress | None = None,
    on_epoch: Callable[[Progress], None] = lambda progress: None,
) -> tuple[nn.Module, Progress]:
    """Find out how many epochs are good, with some rows held out, and train so long on all rows.

    Without `patience` there is nothing to find out.

    Args:
        fresh: Returns an untrained model, the same each time.
        data: What is learned from.
        towers: Shape of the model.
        training: How to train.
        device: Torch device of the model.
        rank: This worker's number.
        world_size: Number of workers.
        progress: Go on from here; None begins.
        on_epoch: Called after each epoch of either training.
    """
    progress = progress or Progress()
    if training.patience and progress.epochs is None:
        held_out = validation_rows(data.interactions, training.seed)
        if len(held_out):
            trial = train_two_tower(
                fresh(),
                Examples(data=data, config=training, attends=towers.attention, held_out=held_out),
                device=device,
                rank=rank,
                world_size=world_size,
                progress=progress,
                on_epoch=on_epoch,
            )
            progress = Progress(
                recalls=trial.recalls,
                num_held_out=trial.num_held_out,
                epochs=trial.good_epochs,
            )
        else:
            progress = Progress(epochs=training.epochs)
    config = replace(training, epochs=progress.epochs or training.epochs, patience=0)
    model = fresh()
    done = train_two_tower(
        model,
        Examples(data=data, config=config, attends=towers.attention),
        device=device,
        rank=rank,
        world_size=world_size,
        progress=progress,
        on_epoch=on_epoch,
    )
    return model, done


@torch.no_grad()
def recall_at_100(model: nn.Module, examples: Examples, device: str) -> float:
    """Return the share of held-out rows whose item is among the best hundred not bought before.

    Ties rank the item last.
    """
    model.eval()
    data = examples.data.interactions
    items_ID = torch.from_numpy(_item_outputs(model, examples.data.features, device)).to(device)
    hits, everything = 0, np.arange(data.num_items)
    size = max(1, min(examples.config.batch_size, _SCORES_A_PASS // data.num_items))
    for start in range(0, len(examples.held_out), size):
        rows = examples.held_out[start : start + size]
        queries_BD, _ = model(*examples.inputs(rows, np.zeros(0, dtype=np.int64), device))
        recent_BI = examples.over_time.before(data.event_time[rows], everything)
        scores = logits(queries_BD, items_ID, torch.from_numpy(recent_BI).to(device)).cpu().numpy()
        bought = data.between(data.indptr[data.user_idx[rows]], rows)
        scores[bought.row, bought.item_idx] = -np.inf
        own = scores[np.arange(len(rows)), data.item_idx[rows]]
        hits += int(((scores >= own[:, None]).sum(1) - 1 < RECALL_DEPTH).sum())
    return hits / len(examples.held_out)


def item_vectors(
    model: TwoTower, features: ItemFeatures, log_recent: np.ndarray, device: str
) -> np.ndarray:
    """Return the vectors of the whole catalogue, float32, shape (I, D + 2).

    Args:
        model: A trained one.
        features: Of the items.
        log_recent: Log of one plus `recent_popularity` as of now, shape (I,).
        device: Of the model.
    """
    told = _item_outputs(model, features, device)
    return np.concatenate([told, log_recent[:, None].astype(np.float32)], axis=1)


@torch.no_grad()
def _item_outputs(model: nn.Module, features: ItemFeatures, device: str) -> np.ndarray:
    """Return the item tower's output for the whole catalogue, float32, shape (I, D + 1)."""
    model.eval()
    parts = []
    for start in range(0, len(features), _ITEMS_A_PASS):
        bags = item_bags(np.arange(start, min(start + _ITEMS_A_PASS, len(features))), features)
        _, vectors = model(
            to_kjt((bags,), device),
            torch.zeros((0, NUM_QUERY_FEATURES), device=device),
            torch.from_numpy(bags.dense).to(device),
            torch.from_numpy(bags.text).to(device),
            history_tensors(None, device),
        )
        parts.append(vectors.cpu().numpy())
    return np.concatenate(parts)


def _dense_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Return what AdamW trains: all but the tables."""
    return [p for name, p in model.named_parameters() if ".tables." not in f".{name}"]


def _table_optimizer(model: nn.Module) -> Any:
    """Return the fused optimizer of the tables."""
    if isinstance(model, TwoTower):
        return model.tables.fused_optimizer()  # type: ignore[operator]
    return model.fused_optimizer


def _local(values: Any) -> list[Tensor]:
    """Return this worker's part of tensors, in their order."""
    return [
        part
        for value in values
        for part in (
            [shard.tensor for shard in value.local_shards()]
            if isinstance(value, ShardedTensor)
            else [value]
        )
    ]


def _weights(model: nn.Module) -> list[Tensor]:
    return _local(model.state_dict().values())


def _moments(model: nn.Module) -> list[Tensor]:
    """Return the tables' part of the optimizer, as far as it is kept in tensors."""
    states = _table_optimizer(model).state_dict()["state"]
    values = [states[key][name] for key in sorted(states) for name in sorted(states[key])]
    return _local(value for value in values if isinstance(value, Tensor | ShardedTensor))


def _state(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    device: str,
) -> dict[str, Any]:
    state = {
        "weights": [tensor.detach().clone() for tensor in _weights(model)],
        "moments": [tensor.detach().clone() for tensor in _moments(model)],
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "random": torch.get_rng_state(),
    }
    if torch.device(device).type == "cuda":
        state["cuda_random"] = torch.cuda.get_rng_state(device)
    return state


def _restore(
    state: dict[str, Any],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    device: str,
) -> None:
    _copy(state["weights"], _weights(model))
    _copy(state["moments"], _moments(model))
    optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])
    torch.set_rng_state(state["random"])
    if torch.device(device).type == "cuda":
        torch.cuda.set_rng_state(state["cuda_random"], device)


@torch.no_grad()
def _copy(kept: list[Tensor], into: list[Tensor]) -> None:
    for source, target in zip(kept, into, strict=True):
        target.copy_(source)
