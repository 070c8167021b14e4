"""Polarity and stars from the pooled hidden layers of the English encoder.

The head predicts a distribution over one to five stars; the three classes are its sums
(1-2 negative, 3 neutral, 4-5 positive), so polarity and expected stars never disagree.

Shape suffixes: N texts, F features, C star classes.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from sentiment.errors import WeightsError

NUM_STARS = 5


@dataclass(frozen=True, kw_only=True)
class StarHeadConfig:
    """Shape of the head.

    Attributes:
        layers: Hidden layers whose token means are read. The last one is left out: contrastive
            training has squeezed the sentiment out of it.
        input_dim: Width of one layer.
        hidden_dim: Width of the one hidden layer.
        dropout: Applied before both linear maps while training.
    """

    layers: tuple[int, ...] = (3, 4, 5)
    input_dim: int = 384
    hidden_dim: int = 128
    dropout: float = 0.3

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not self.layers:
            raise ValueError("layers must name at least one hidden layer")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be within [0, 1), not {self.dropout}")


class StarHead(nn.Module):
    """Standardise, one hidden layer, five logits, one temperature."""

    mean: Tensor
    scale: Tensor
    temperature: Tensor

    def __init__(self, config: StarHeadConfig) -> None:
        super().__init__()
        self.config = config
        width = config.input_dim * len(config.layers)
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.register_buffer("temperature", torch.ones(()))
        self.net = nn.Sequential(
            nn.Dropout(config.dropout),
            nn.Linear(width, config.hidden_dim),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden_dim, NUM_STARS),
        )

    def forward(self, features_NF: Tensor) -> Tensor:
        """Return uncalibrated star logits, shape (N, C)."""
        return self.net((features_NF - self.mean) / self.scale)

    def features(self, hidden: np.ndarray) -> Tensor:
        """Pick and join the layers this head reads from `PooledTexts.hidden`, shape (N, F)."""
        picked = hidden[:, list(self.config.layers)]
        return torch.from_numpy(np.ascontiguousarray(picked, dtype=np.float32)).flatten(1)

    @torch.inference_mode()
    def star_probabilities(self, hidden: np.ndarray) -> np.ndarray:
        """Return calibrated P(1..5 stars), float32, shape (N, 5), for pooled hidden layers."""
        if not len(hidden):
            return np.zeros((0, NUM_STARS), dtype=np.float32)
        logits = self(self.features(hidden)) / self.temperature
        return logits.softmax(1).numpy()

    def save(self, path: Path) -> None:
        """Write weights and shape as safetensors (fp16 matrices, fp32 statistics)."""
        tensors = {
            name: (t.half() if name.startswith("net.") else t).contiguous()
            for name, t in self.state_dict().items()
        }
        metadata = {
            "layers": ",".join(map(str, self.config.layers)),
            "input_dim": str(self.config.input_dim),
            "hidden_dim": str(self.config.hidden_dim),
        }
        save_file(tensors, path, metadata=metadata)

    @classmethod
    def load(cls, path: Path) -> "StarHead":
        """Read a head written by `save`.

        Raises:
            WeightsError: If the file is missing or no such head.
        """
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                config = StarHeadConfig(
                    layers=tuple(int(x) for x in metadata["layers"].split(",")),
                    input_dim=int(metadata["input_dim"]),
                    hidden_dim=int(metadata["hidden_dim"]),
                )
                head = cls(config)
                names = file.keys()
                head.load_state_dict({name: file.get_tensor(name).float() for name in names})
        except (OSError, KeyError, ValueError, RuntimeError, SafetensorError) as error:
            raise WeightsError(f"star head {path} cannot be read: {error}") from error
        return head.eval()


def polarity_probabilities(stars_NC: np.ndarray) -> np.ndarray:
    """Sum P(1..5 stars) into P(negative, neutral, positive), shape (N, 3).

    >>> polarity_probabilities(np.array([[0.1, 0.1, 0.2, 0.3, 0.3]])).round(2).tolist()
    [[0.2, 0.2, 0.6]]
    """
    return np.stack(
        [stars_NC[:, :2].sum(1), stars_NC[:, 2], stars_NC[:, 3:].sum(1)],
        axis=1,
    )
