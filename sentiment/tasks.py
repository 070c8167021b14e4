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

from sentiment.batching import padded
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
    """Texts with sets of possible stars.

    Attributes:
        mask: `sentiment.training.star_mask`, bool, shape (N, 5).
        row_weights: How much each text counts, float, shape (N,); None for all the same.
        smoothing: Share of the loss that asks for all stars alike.
    """

    name: str
    ids: list[list[int]]
    mask: np.ndarray
    row_weights: np.ndarray | None = None
    smoothing: float = 0.0
    weight: float = 1.0

    def loss(self, model: ReviewModel, encoded: Encoded, rows: np.ndarray) -> Tensor:
        """Return -log of the probability of the possible stars."""
        logits_B5 = model.stars(encoded.summary_BX).float()
        allowed = torch.from_numpy(self.mask[rows]).to(logits_B5.device)
        if self.row_weights is None and not self.smoothing:
            return set_likelihood_loss(logits_B5, allowed)
        log_p_B5 = logits_B5.log_softmax(1)
        wanted_B = log_p_B5.masked_fill(~allowed, -torch.inf).logsumexp(1)
        loss_B = -(1 - self.smoothing) * wanted_B - self.smoothing * log_p_B5.mean(1)
        if self.row_weights is None:
            return loss_B.mean()
        weights_B = torch.from_numpy(self.row_weights[rows]).to(loss_B)
        return (loss_B * weights_B).sum() / weights_B.sum()


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
    """Texts with aspect terms and their polarity.

    Attributes:
        tags: Tag of each token, `_IGNORED` for special ones.
        spans: Token start, end and polarity of each term of a text.
        every_term: All terms are marked; else they teach their polarity, and not where terms are.
        stars: Stars that the terms of a text allow, bool, shape (N, 5); learned beside.
    """

    name: str
    ids: list[list[int]]
    tags: list[list[int]]
    spans: list[list[tuple[int, int, int]]]
    every_term: bool = True
    stars: np.ndarray | None = None
    weight: float = 1.0

    def loss(self, model: ReviewModel, encoded: Encoded, rows: np.ndarray) -> Tensor:
        """Return cross-entropy of tags, of the polarity of given spans, and of the stars if any."""
        loss = _span_loss(model, model.span_polarity, encoded, [self.spans[row] for row in rows])
        if self.every_term:
            loss = loss + self._tag_loss(model, encoded, [self.tags[row] for row in rows])
        if self.stars is not None:
            by_star = model.stars(encoded.summary_BX).float()
            allowed = torch.from_numpy(self.stars[rows]).to(by_star.device)
            loss = loss + set_likelihood_loss(by_star, allowed)
        return loss

    @staticmethod
    def _tag_loss(model: ReviewModel, encoded: Encoded, tags: list[list[int]]) -> Tensor:
        logits_BLT = model.tags(encoded.tokens_BLD).float()
        wanted_BL = torch.full(logits_BLT.shape[:2], _IGNORED)
        for place, of_text in enumerate(tags):
            wanted_BL[place, : len(of_text)] = torch.tensor(of_text)
        wanted = wanted_BL.flatten().to(logits_BLT.device)
        return nn.functional.cross_entropy(logits_BLT.flatten(0, 1), wanted)


@dataclass(frozen=True, kw_only=True)
class NeedTask:
    """Texts of which every clause is known to voice a need of some kind, or none.

    Attributes:
        spans: Token start, end and class of each clause: 0 for none, 1 + the kind.
    """

    name: str
    ids: list[list[int]]
    spans: list[list[tuple[int, int, int]]]
    weight: float = 1.0

    def loss(self, model: ReviewModel, encoded: Encoded, rows: np.ndarray) -> Tensor:
        """Return the cross-entropy over the clauses of a batch."""
        return _span_loss(model, model.needs, encoded, [self.spans[row] for row in rows])


def _span_loss(
    model: ReviewModel,
    head: nn.Module,
    encoded: Encoded,
    spans: Sequence[Sequence[tuple[int, int, int]]],
) -> Tensor:
    """Return the mean cross-entropy of a head over all spans of a batch, zero if there are none."""
    placed = [(place, *span) for place, of_text in enumerate(spans) for span in of_text]
    at_S4 = torch.tensor(placed, dtype=torch.long, device=encoded.tokens_BLD.device).reshape(-1, 4)
    row_S, start_S, end_S, class_S = at_S4.T
    logits_SK = head(model.spans(encoded, row_S, start_S, end_S)).float()
    summed = nn.functional.cross_entropy(logits_SK, class_S, reduction="sum")
    return summed / max(1, len(placed))


@dataclass(frozen=True, kw_only=True)
class HalvesTask:
    """First and second halves of texts, whose embeddings are to find each other.

    Source: Izacard et al. 2022, "Contriever", and Gao et al. 2021, "SimCSE": cross-entropy of
    cosines over the batch, both ways.

    Attributes:
        others: Token ids of the second half of each text.
        temperature: Of the cosines.
    """

    name: str
    ids: list[list[int]]
    others: list[list[int]]
    temperature: float = 0.05
    weight: float = 1.0

    def loss(self, model: ReviewModel, encoded: Encoded, rows: np.ndarray) -> Tensor:
        """Return the mean loss of finding the second half of each first half and the other way."""
        first_BD = model.embed(encoded).float()
        others = [self.others[row] for row in rows]
        second_BD = model.embed(model.encode(*padded(others, first_BD.device))).float()
        scores_BB = first_BD @ second_BD.T / self.temperature
        wanted = torch.arange(len(rows), device=scores_BB.device)
        cross_entropy = nn.functional.cross_entropy
        return (cross_entropy(scores_BB, wanted) + cross_entropy(scores_BB.T, wanted)) / 2


def halves_task(
    name: str, tokenizer: Tokenizer, texts: Sequence[str], *, max_tokens: int, weight: float = 1.0
) -> HalvesTask:
    """Cut texts in the middle; those of fewer than sixteen characters are left out."""
    long = [text for text in texts if len(text) >= 16]
    return HalvesTask(
        name=name,
        ids=tokenise(tokenizer, [text[: len(text) // 2] for text in long], max_tokens),
        others=tokenise(tokenizer, [text[len(text) // 2 :] for text in long], max_tokens),
        weight=weight,
    )


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
    every_term: bool = True,
    stars: np.ndarray | None = None,
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
    return AspectTask(
        name=name,
        ids=ids,
        tags=tags,
        spans=spans,
        every_term=every_term,
        stars=stars,
        weight=weight,
    )
