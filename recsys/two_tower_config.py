"""Shape, training settings and data of the two-tower; free of torch, so that serving reads them."""

from dataclasses import dataclass

from recsys.history_weights import HistoryWeights
from recsys.interactions import Interactions
from recsys.item_features import ItemFeatures


@dataclass(frozen=True, kw_only=True)
class TwoTowerConfig:
    """Shape of the model.

    Attributes:
        dim: Width of the tables, a multiple of four as the fused kernels require; vectors have two
            more dimensions, the bias and what is popular of late.
        hidden_dim: Width of each tower's hidden layer.
        dropout: On the tower inputs while training.
        table_learning_rate: Of the fused optimizer of the tables.
        attention: Pool what was bought by learned attention that starts from the weights of
            `HistoryWeights`, instead of by those weights alone.
    """

    dim: int = 64
    hidden_dim: int = 128
    dropout: float = 0.2
    table_learning_rate: float = 0.05
    attention: bool = False

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.dim < 4 or self.dim % 4:
            raise ValueError(f"dim must be a positive multiple of 4, not {self.dim}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be within [0, 1), not {self.dropout}")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How the towers are trained.

    Attributes:
        batch_size: Examples a step and worker.
        num_uniform_negatives: Items drawn uniformly a step, without replacement.
        num_hard_negatives: Items drawn a step from the categories of its positives.
        epochs: Passes over all examples, at most.
        patience: Hold some rows out first, stop after so many epochs whose Recall@100 on them is
            below the best by more than its standard error, and train as long as was good on all
            rows; 0 trains once, for all epochs.
        learning_rate: Peak rate of AdamW on the towers; cosine to zero.
        weight_decay: Decoupled decay of the towers.
        max_history: Last rows of a history that are read.
        seed: Of the order, the negatives and the initial weights.
    """

    batch_size: int = 256
    num_uniform_negatives: int = 1024
    num_hard_negatives: int = 256
    epochs: int = 6
    patience: int = 1
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    max_history: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("batch_size", "epochs", "max_history"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("num_uniform_negatives", "num_hard_negatives", "patience"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be below 0, not {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class TowerData:
    """What one fit reads.

    Attributes:
        interactions: Visible purchases: each but a user's first is an example.
        browse_log: Every visible browse event; `sentiment` carries its strength.
        features: Of the items.
        weights: How past purchases are weighted.
    """

    interactions: Interactions
    browse_log: Interactions
    features: ItemFeatures
    weights: HistoryWeights
