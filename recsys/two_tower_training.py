"""Sampled-softmax training of the two towers. No clock, no Ray: those enter as arguments.

Every row of a user but the first is a training example: what was bought before it and browsed
before its session is the query, its item the positive. What is browsed in the session of a purchase
would give it away, and is not known when the session starts. Negatives are the other positives of
the batch and items drawn uniformly; each candidate's logit is corrected by the log of its chance to
be in the candidate set, so popular items are not punished for being everybody's in-batch negative.
Source: Yi et al. 2019, "Sampling-bias-corrected neural modeling"; Yang et al. 2020, "Mixed negative
sampling for learning two-tower neural networks".

Shape suffixes: B examples, C candidates, D vector width.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from recsys.errors import NotEnoughDataError
from recsys.interactions import Histories, Interactions
from recsys.item_features import ItemFeatures
from recsys.two_tower import TwoTower, to_kjt
from recsys.two_tower_config import TowerData, TrainingConfig
from recsys.two_tower_inputs import NUM_QUERY_FEATURES, item_bags, query_bags

_EVENTS_AN_ITEM = 8


def example_rows(interactions: Interactions) -> np.ndarray:
    """Return the rows that have at least one row of the same user before them, int64."""
    first = interactions.indptr[interactions.user_idx]
    return np.flatnonzero(np.arange(len(interactions)) > first)


def histories_before(interactions: Interactions, rows: np.ndarray, max_history: int) -> Histories:
    """Return, for every row, the same user's rows before it (at most `max_history`)."""
    starts = np.maximum(interactions.indptr[interactions.user_idx[rows]], rows - max_history)
    return interactions.between(starts, rows)


def browsing_before(data: TowerData, rows: np.ndarray, max_history: int) -> Histories:
    """Return, for every purchase row, what its user browsed before the row's session.

    One row an item, the last `max_history` of them; at most `_EVENTS_AN_ITEM` times as many events
    are read.
    """
    users, times = data.interactions.user_idx[rows], data.interactions.session_start[rows]
    ends = data.browse_log.ends_before(users, times)
    starts = np.maximum(data.browse_log.indptr[users], ends - _EVENTS_AN_ITEM * max_history)
    return data.browse_log.between(starts, ends).merged().last(max_history)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One step's input: B query rows stacked on C candidate rows."""

    inputs: tuple
    positive_B: Tensor
    log_chance_C: Tensor


def batches(
    data: TowerData, config: TrainingConfig, *, epoch: int, rank: int, world_size: int, device: str
) -> Iterator[Batch]:
    """Yield this worker's share of one epoch; the order depends on seed and epoch only."""
    rng = np.random.default_rng([config.seed, epoch])
    rows = rng.permutation(example_rows(data.interactions))
    usable = len(rows) // world_size * world_size
    rows = rows[rank:usable:world_size]
    negatives = np.random.default_rng([config.seed, epoch, rank])
    popularity = data.interactions.popularity()
    for start in range(0, len(rows), config.batch_size):
        part = rows[start : start + config.batch_size]
        yield make_batch(data, config, part, popularity, negatives, device)


def make_batch(
    data: TowerData,
    config: TrainingConfig,
    rows: np.ndarray,
    popularity: np.ndarray,
    rng: np.random.Generator,
    device: str,
) -> Batch:
    """Build one batch from the interaction rows that are its positives."""
    num_items = data.interactions.num_items
    num_uniform = min(config.num_uniform_negatives, num_items)
    positives = data.interactions.item_idx[rows]
    uniform = rng.choice(num_items, num_uniform, replace=False)
    candidates, places = np.unique(np.concatenate([positives, uniform]), return_inverse=True)
    share = popularity[candidates] / max(1, popularity.sum())
    missed = (1.0 - num_uniform / num_items) * (1.0 - share) ** len(rows)
    histories = histories_before(data.interactions, rows, config.max_history)
    browsed = browsing_before(data, rows, config.max_history)
    bought, looks = query_bags(histories, browsed, data.weights, data.features)
    items = item_bags(candidates, data.features)
    text = np.concatenate([bought.text, looks.text, items.text])
    return Batch(
        inputs=(
            to_kjt((bought, looks, items), device),
            torch.from_numpy(bought.dense).to(device),
            torch.from_numpy(items.dense).to(device),
            torch.from_numpy(text).to(device),
        ),
        positive_B=torch.from_numpy(places[: len(rows)]).to(device),
        log_chance_C=torch.from_numpy(np.log1p(-missed).astype(np.float32)).to(device),
    )


def corrected_loss(query_BD: Tensor, item_CD: Tensor, batch: Batch) -> Tensor:
    """Softmax cross-entropy over the candidates, each logit less its log chance."""
    logits_BC = query_BD @ item_CD.T - batch.log_chance_C
    return nn.functional.cross_entropy(logits_BC, batch.positive_B)


def train_two_tower(
    model: nn.Module,
    data: TowerData,
    config: TrainingConfig,
    *,
    device: str,
    rank: int = 0,
    world_size: int = 1,
    on_epoch: Callable[[int, float], None] = lambda epoch, loss: None,
) -> list[float]:
    """Train in place and return the mean loss of each epoch.

    Args:
        model: A `TwoTower`, or one wrapped by DistributedModelParallel; its tables step in their
            own backward pass.
        data: Visible interactions and item features.
        config: How to train.
        device: Torch device of the model.
        rank: This worker's number.
        world_size: Number of workers; every worker takes each `world_size`-th example.
        on_epoch: Called with the epoch and its mean loss.

    Raises:
        NotEnoughDataError: If no user has two interactions.
    """
    num_examples = len(example_rows(data.interactions)) // world_size
    if num_examples == 0:
        raise NotEnoughDataError("two-tower training needs users with at least two distinct items")
    dense = [p for name, p in model.named_parameters() if ".tables." not in f".{name}"]
    optimizer = torch.optim.AdamW(dense, lr=config.learning_rate, weight_decay=config.weight_decay)
    steps = config.epochs * -(-num_examples // config.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    losses = []
    model.train()
    for epoch in range(config.epochs):
        total, seen = 0.0, 0
        for batch in batches(
            data, config, epoch=epoch, rank=rank, world_size=world_size, device=device
        ):
            optimizer.zero_grad()
            queries, items = model(*batch.inputs)
            loss = corrected_loss(queries, items, batch)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(batch.positive_B)
            seen += len(batch.positive_B)
        losses.append(total / seen)
        on_epoch(epoch, losses[-1])
    model.eval()
    return losses


@torch.no_grad()
def item_vectors(model: TwoTower, features: ItemFeatures, device: str) -> np.ndarray:
    """Return the item tower's output for the whole catalogue, float32, shape (I, D + 1)."""
    model.eval()
    parts = []
    for start in range(0, len(features), 8192):
        bags = item_bags(np.arange(start, min(start + 8192, len(features))), features)
        empty = torch.zeros((0, NUM_QUERY_FEATURES), device=device)
        _, vectors = model(
            to_kjt((bags,), device),
            empty,
            torch.from_numpy(bags.dense).to(device),
            torch.from_numpy(bags.text).to(device),
        )
        parts.append(vectors.cpu().numpy())
    return np.concatenate(parts)
