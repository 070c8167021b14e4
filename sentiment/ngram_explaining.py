"""Which characters moved the polarity that the n-gram model gives a text.

Integrated gradients as in `sentiment.explaining`, over the vectors of the n-grams, from a text
without any: zero vectors. An n-gram's attribution is shared by its characters in equal parts.

Shape suffixes: B points of the path, N n-grams, E embedding width.
"""

import numpy as np
import torch
from captum.attr import IntegratedGradients
from torch import Tensor

from sentiment.explaining import STEPS, Explanation, nothing_read, words_of_pieces
from sentiment.ngram_model import MAX_CHARACTERS, NgramModel, ngram_buckets

_MOST_N = 3


def explain_ngrams(model: NgramModel, text: str, *, steps: int = STEPS) -> Explanation:
    """Attribute the polarity of one text to its characters.

    Args:
        model: The n-gram model.
        text: Cleaned; characters after the first `MAX_CHARACTERS` are not read.
        steps: Points of the path (Gauss-Legendre).

    Raises:
        ValueError: If `steps` is too small.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, not {steps}")
    # Where each character that is read stands: lower case may be longer, white space is dropped.
    place = [at for at, character in enumerate(text) for _ in "".join(character.lower().split())]
    num_read = min(len(place), MAX_CHARACTERS)
    if not num_read:
        return nothing_read(text, steps=steps)
    buckets = torch.from_numpy(ngram_buckets(text, model.num_buckets, _MOST_N))
    vectors_1NE = model.grams.weight.detach()[buckets].unsqueeze(0)
    by_gram_1NE = IntegratedGradients(lambda vectors: _polarity(model, vectors)).attribute(
        vectors_1NE, n_steps=steps
    )
    by_gram = by_gram_1NE.double().sum(2)[0].numpy()
    by_character = np.zeros(num_read)
    first = 0
    for n in range(1, min(_MOST_N, num_read) + 1):
        of_length = by_gram[first : first + num_read - n + 1]
        for offset in range(n):
            by_character[offset : offset + len(of_length)] += of_length / n
        first += len(of_length)
    with torch.inference_mode():
        polarity = float(_polarity(model, vectors_1NE))
        baseline = float(_polarity(model, torch.zeros_like(vectors_1NE)))
    offsets = [(at, at + 1) for at in place[:num_read]]
    return Explanation(
        text=text,
        words=words_of_pieces(text, offsets, [None] * num_read, by_character.tolist()),
        polarity=polarity,
        baseline_polarity=baseline,
        completeness_gap=float(by_gram.sum()) - (polarity - baseline),
        truncated=num_read < len(place),
        steps=steps,
    )


def _polarity(model: NgramModel, vectors_BNE: Tensor) -> Tensor:
    """Return p_positive - p_negative of texts that have these n-grams, shape (B,)."""
    classes_B3 = (model.polarity(vectors_BNE.mean(1)) / model.temperature).softmax(1)
    return classes_B3[:, 2] - classes_B3[:, 0]
