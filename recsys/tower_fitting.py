"""Fit two-tower models in this process; distributed fits wrap the same loop (see `jobs`)."""

from collections.abc import Callable

import numpy as np
import torch

from recsys.recency import recent_popularity
from recsys.retrieval import TrainedTowers
from recsys.two_tower import TwoTower, fused_tables, item_tower_weights, query_tower_weights
from recsys.two_tower_config import TowerData, TrainingConfig, TwoTowerConfig
from recsys.two_tower_progress import Progress
from recsys.two_tower_training import item_vectors, train_with_patience


def fit_towers(
    data: TowerData,
    towers: TwoTowerConfig,
    training: TrainingConfig,
    *,
    device: str = "cpu",
    progress: Progress | None = None,
    on_epoch: Callable[[Progress], None] = lambda progress: None,
) -> TrainedTowers:
    """Train one two-tower on one device and return what retrieval needs of it.

    Args:
        data: What is learned from.
        towers: Shape of the model.
        training: How to train.
        device: Torch device.
        progress: Go on from here; None begins.
        on_epoch: Called after each epoch.
    """

    def fresh() -> TwoTower:
        torch.manual_seed(training.seed)
        tables = fused_tables(data.features, towers, device)
        text_dim = data.features.text.shape[1]
        return TwoTower(tables, text_dim=text_dim, config=towers).to(device)

    model, done = train_with_patience(
        fresh, data, towers, training, device=device, progress=progress, on_epoch=on_epoch
    )
    assert isinstance(model, TwoTower)
    return trained_towers(model, data, done, device)


def trained_towers(model: TwoTower, data: TowerData, done: Progress, device: str) -> TrainedTowers:
    """Take what retrieval needs out of a trained model."""
    log_recent = np.log1p(recent_popularity(data.interactions))
    return TrainedTowers(
        query=query_tower_weights(model, data.features),
        item=item_tower_weights(model),
        item_vectors=item_vectors(model, data.features, log_recent, device),
        losses=done.losses,
        recalls=done.recalls,
    )


def fit_each(
    data: list[TowerData], towers: TwoTowerConfig, training: TrainingConfig
) -> list[TrainedTowers]:
    """Train one two-tower for each world, one after the other on the CPU: a `TowerTrainer`."""
    return [fit_towers(of_world, towers, training) for of_world in data]
