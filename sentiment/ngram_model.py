"""A small Chinese model: hashed character n-grams, averaged, read by a linear head.

One pass gives embedding and polarity. Source: Joulin et al. 2017, "Bag of Tricks for Efficient Text
Classification", with characters in place of words.

Shape suffixes: N texts, E embedding width.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from sentiment.errors import WeightsError

NUM_CLASSES = 3
MAX_CHARACTERS = 1000
_PRIME = np.uint64(1_000_003)


def ngram_buckets(text: str, num_buckets: int, max_n: int = 3) -> np.ndarray:
    """Hash every character 1..max_n-gram of a text into `num_buckets` buckets, int64.

    The hash is a polynomial over code points, the same in every process; n-grams of different
    length never share a seed. White space is dropped, Latin letters are lower-cased.
    """
    points = np.frombuffer("".join(text.lower().split()).encode("utf-32-le"), dtype=np.uint32)
    points = points[:MAX_CHARACTERS].astype(np.uint64)
    grams = []
    with np.errstate(over="ignore"):
        for n in range(1, max_n + 1):
            if len(points) < n:
                break
            value = np.full(len(points) - n + 1, n, dtype=np.uint64)
            for offset in range(n):
                value = value * _PRIME + points[offset : len(points) - n + 1 + offset]
            value ^= value >> np.uint64(15)
            grams.append(value * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(33))
    if not grams:
        return np.zeros(0, dtype=np.int64)
    return (np.concatenate(grams) % np.uint64(num_buckets)).astype(np.int64)


class NgramModel(nn.Module):
    """Mean of n-gram vectors and a linear map to negative, neutral, positive."""

    temperature: Tensor

    def __init__(self, num_buckets: int = 1 << 16, dim: int = 64) -> None:
        super().__init__()
        self.num_buckets, self.dim = num_buckets, dim
        self.grams = nn.EmbeddingBag(num_buckets, dim, mode="mean")
        self.polarity = nn.Linear(dim, NUM_CLASSES)
        self.register_buffer("temperature", torch.ones(()))
        nn.init.uniform_(self.grams.weight, -1.0 / dim, 1.0 / dim)

    def forward(self, texts: Sequence[str]) -> Tensor:
        """Return the averaged n-gram vectors, shape (N, E)."""
        bags = [ngram_buckets(text, self.num_buckets) for text in texts]
        lengths = [len(bag) for bag in bags]
        offsets = np.cumsum([0, *lengths], dtype=np.int64)[:-1]
        flat = np.concatenate(bags) if bags else np.zeros(0, dtype=np.int64)
        return self.grams(torch.from_numpy(flat), torch.from_numpy(offsets))

    @torch.inference_mode()
    def embed_and_classify(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return unit embeddings (N, E) and calibrated class probabilities (N, 3), float32."""
        if not texts:
            return np.zeros((0, self.dim), np.float32), np.zeros((0, NUM_CLASSES), np.float32)
        vectors = self(texts)
        probabilities = (self.polarity(vectors) / self.temperature).softmax(1)
        return nn.functional.normalize(vectors, dim=1).numpy(), probabilities.numpy()

    def save(self, path: Path) -> None:
        """Write the weights as safetensors, n-gram vectors in fp16."""
        state = self.state_dict()
        state["grams.weight"] = state["grams.weight"].half()
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)

    @classmethod
    def load(cls, path: Path) -> "NgramModel":
        """Read a model written by `save`.

        Raises:
            WeightsError: If the file is missing or no such model.
        """
        try:
            with safe_open(path, framework="pt") as file:
                state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
            num_buckets, dim = state["grams.weight"].shape
            model = cls(num_buckets, dim)
            model.load_state_dict(state)
        except (OSError, KeyError, ValueError, RuntimeError, SafetensorError) as error:
            raise WeightsError(f"n-gram model {path} cannot be read: {error}") from error
        return model.eval()
