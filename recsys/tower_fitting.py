"""Fit two-tower models in this process; distributed fits wrap the same loop (see `jobs`)."""

from collections.abc import Callable

import torch

from recsys.retrieval import TrainedTowers
from recsys.two_tower import TwoTower, fused_tables, query_tower_weights
from recsys.two_tower_config import TowerData, TrainingConfig, TwoTowerConfig
from recsys.two_tower_training import item_vectors, train_two_tower


def fit_towers(
    data: TowerData,
    towers: TwoTowerConfig,
    training: TrainingConfig,
    *,
    device: str = "cpu",
    on_epoch: Callable[[int, float], None] = lambda epoch, loss: None,
) -> TrainedTowers:
    """Train one two-tower on one device and return what retrieval needs of it."""
    torch.manual_seed(training.seed)
    model = TwoTower(
        fused_tables(data.features, towers, device),
        text_dim=data.features.text.shape[1],
        config=towers,
    ).to(device)
    losses = train_two_tower(model, data, training, device=device, on_epoch=on_epoch)
    return TrainedTowers(
        query=query_tower_weights(model),
        item_vectors=item_vectors(model, data.features, device),
        losses=losses,
    )


def fit_each(
    data: list[TowerData], towers: TwoTowerConfig, training: TrainingConfig
) -> list[TrainedTowers]:
    """Train one two-tower for each world, one after the other on the CPU: a `TowerTrainer`."""
    return [fit_towers(of_world, towers, training) for of_world in data]
