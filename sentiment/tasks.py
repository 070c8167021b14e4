"""What a review model is trained on: tokenised texts and the loss of one kind of label.

Shape suffixes: N texts, L tokens, E emotions, S spans.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from sentiment.review_model import BEGIN, INSIDE, OUTSIDE, Encoded, ReviewModel
from sentiment.training import set_likelihood_loss

_IGNORED = -100


class Task(Protocol):
    """Texts with labels of one kind."""

    @property
    def name(self) -> str:
        """As it stands in progress and figures."""
        ...

    @property
    def weight(self) -> float:
        """Factor of the loss."""
        ...

    @property
    def ids(self) -> list[list[int]]:
        """Token ids of each text, with the special ones."""
        ...

    def loss(self, model: ReviewModel, encoded: Encoded, rows: np.ndarray) -> Tensor:
        """Return the mean loss of a batch: `encoded` holds the texts of `rows`."""
        ...


@dataclass(frozen=True, kw_only=True)
class StarTask:
    """Texts with sets of possible stars, `sentiment.training.star_mask`, bool, shape (N, 5)."""

    name: str
    ids: list[list[int]]
    mask: np.ndarray
    weight: float = 1.0

    def loss(self, model: ReviewModel, encoded: Encoded, rows: np.ndarray) -> Tensor:
        """Return -log of the probability of the possible stars."""
        logits = model.stars(encoded.summary_BX)
        allowed = torch.from_numpy(self.mask[rows]).to(logits.device)
        return set_likelihood_loss(logits.float(), allowed)


@dataclass(frozen=True, kw_only=True)
class EmotionTask:
    """Texts with emotions, any number each.

    Attributes:
        labels: Which emotions a text carries, bool, shape (N, E).
        stars: Stars that those emotions allow, bool, shape (N, 5); learned by the star head beside.
    """

    name: str
    ids: list[list[int]]
    labels: np.ndarray
    stars: np.ndarray | None = None
    weight: float = 1.0

    def loss(self, model: ReviewModel, encoded: Encoded, rows: np.ndarray) -> Tensor:
        """Return the cross-entropy summed over emotions, and that of the stars if there are any."""
        logits = model.emotions(encoded.summary_BX).float()
        wanted = torch.from_numpy(self.labels[rows]).to(logits)
        loss = nn.functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        if self.stars is None:
            return loss.sum(1).mean()
        allowed = torch.from_numpy(self.stars[rows]).to(logits.device)
        by_star = model.stars(encoded.summary_BX).float()
        return loss.sum(1).mean() + set_likelihood_loss(by_star, allowed)


@dataclass(frozen=True, kw_only=True)
class Span:
    """A term in a text: characters start:end and its polarity 0 negative, 1 neutral, 2 positive."""

    start: int
    end: int
    polarity: int


@dataclass(frozen=True, kw_only=True)
class AspectTask:
    """Texts in which every aspect term is marked.

    Attributes:
        tags: Tag of each token, `_IGNORED` for special ones.
        spans: Token start, end and polarity of each term of a text.
    """

    name: str
    ids: list[list[int]]
    tags: list[list[int]]
    spans: list[list[tuple[int, int, int]]]
    weight: float = 1.0

    def loss(self, model: ReviewModel, encoded: Encoded, rows: np.ndarray) -> Tensor:
        """Return cross-entropy of tags plus cross-entropy of the polarity of given spans."""
        logits_BLT = model.tags(encoded.tokens_BLD).float()
        wanted = torch.full(logits_BLT.shape[:2], _IGNORED, device=logits_BLT.device)
        for place, row in enumerate(rows.tolist()):
            tags = self.tags[row]
            wanted[place, : len(tags)] = torch.tensor(tags)
        loss = nn.functional.cross_entropy(logits_BLT.flatten(0, 1), wanted.flatten())
        spans = [(place, *span) for place, row in enumerate(rows) for span in self.spans[row]]
        if not spans:
            return loss
        row_S, start_S, end_S, polarity_S = torch.tensor(spans, device=wanted.device).T
        logits_S3 = model.polarity_of_spans(encoded, row_S, start_S, end_S).float()
        return loss + nn.functional.cross_entropy(logits_S3, polarity_S)


def tokenise(tokenizer: Tokenizer, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
    """Return token ids of each text, cut to `max_tokens`."""
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return [encoding.ids for encoding in tokenizer.encode_batch_fast(list(texts))]


def aspect_task(
    name: str,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    terms: Sequence[Sequence[Span]],
    *,
    max_tokens: int = 128,
    weight: float = 1.0,
) -> AspectTask:
    """Put character spans onto tokens; a term that was cut off with the text is left out."""
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    encodings = tokenizer.encode_batch(list(texts))
    tags, spans = [], []
    for encoding, of_text in zip(encodings, terms, strict=True):
        of_tokens = [_IGNORED if special else OUTSIDE for special in encoding.special_tokens_mask]
        placed = []
        for term in of_text:
            inside = [
                token
                for token, (start, end) in enumerate(encoding.offsets)
                if start < term.end and end > term.start and of_tokens[token] != _IGNORED
            ]
            if not inside:
                continue
            for token in inside:
                of_tokens[token] = INSIDE
            of_tokens[inside[0]] = BEGIN
            placed.append((inside[0], inside[-1] + 1, term.polarity))
        tags.append(of_tokens)
        spans.append(placed)
    ids = [encoding.ids for encoding in encodings]
    return AspectTask(name=name, ids=ids, tags=tags, spans=spans, weight=weight)
