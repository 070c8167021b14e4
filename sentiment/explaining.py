"""Which words moved the polarity of a text: integrated gradients over the word embeddings.

The straight path leads from a baseline, the same text with `[PAD]` for each of its tokens, to the
text; the gradient of the polarity is averaged along it. What the tokens of a word get sums to the
word's attribution, and all attributions sum to polarity of the text less polarity of the baseline.

Source: Sundararajan, Taly and Yan 2017, "Axiomatic Attribution for Deep Networks".

Shape suffixes: B points of the path, L tokens, D hidden width.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from captum.attr import LayerIntegratedGradients
from torch import Tensor

from sentiment.model_file import TrainedModel
from sentiment.review_model import ReviewModel

STEPS = 32
MAX_TOKENS = 512
_EDGES = 2  # [CLS] and [SEP]
_PAD = 0
# Tokenizers cut "don't" and "USB3" into pieces that nobody would call words.
_LATIN_WORD = re.compile(r"[A-Za-z0-9\u00c0-\u024f]+(?:['’][A-Za-z\u00c0-\u024f]+)*")


@dataclass(frozen=True, kw_only=True)
class Word:
    """A word, or a Chinese character, and how far it moved the polarity.

    Attributes:
        start: First character in the text.
        end: The character after its last one.
        attribution: Its share of polarity less baseline polarity; above zero it made the text more
            positive.
    """

    start: int
    end: int
    attribution: float


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What moved the polarity of one text.

    Attributes:
        text: The cleaned text.
        words: In order; none for a text that has no tokens.
        polarity: p_positive - p_negative of the tokens that were read, within [-1, 1]; 0 for a text
            without tokens, as everywhere.
        baseline_polarity: Of the baseline: as many `[PAD]` tokens.
        completeness_gap: Sum of the attributions less (polarity - baseline polarity): the error of
            the average along the path, which shrinks with more steps.
        truncated: The text goes on after the last word.
        steps: Points of the path.
    """

    text: str
    words: tuple[Word, ...]
    polarity: float
    baseline_polarity: float
    completeness_gap: float
    truncated: bool
    steps: int


def explain(
    trained: TrainedModel,
    text: str,
    *,
    steps: int = STEPS,
    max_tokens: int = MAX_TOKENS,
    batch_tokens: int = 4096,
    device: str = "cpu",
) -> Explanation:
    """Attribute the polarity of one text to its words.

    The text is read in one pass, by one model and in single precision. `ReviewScorer` reads a text
    that is longer than its window in several, and sentences of another language by another model,
    so that its polarity of such a text is not the one that is explained here.

    Args:
        trained: The model that reads the language of the text.
        text: Cleaned.
        steps: Points of the path (Gauss-Legendre); more cost more time and close the gap.
        max_tokens: Tokens explained, the two special ones included; the model's own limit holds
            too. The text is cut between words.
        batch_tokens: Tokens of one forward and backward pass; bounds its memory.
        device: Torch device, such as `cpu` or `cuda:0`; the model is moved there.

    Raises:
        ValueError: If `steps` or `max_tokens` is too small.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, not {steps}")
    if max_tokens <= _EDGES:
        raise ValueError(f"max_tokens must be above {_EDGES}, not {max_tokens}")
    model = trained.model.to(device).eval()
    trained.tokenizer.no_padding()
    trained.tokenizer.no_truncation()
    encoding = trained.tokenizer.encode(text, add_special_tokens=False)
    num_read = _num_read(encoding.word_ids, min(max_tokens, model.max_tokens) - _EDGES)
    if not num_read:
        return nothing_read(text, steps=steps)
    first, last = trained.tokenizer.encode("").ids
    ids_1L = torch.tensor([[first, *encoding.ids[:num_read], last]], device=device)
    baseline_1L = torch.full_like(ids_1L, _PAD)
    baseline_1L[0, 0], baseline_1L[0, -1] = first, last
    gradients = LayerIntegratedGradients(
        lambda ids_BL: _polarity(model, ids_BL),
        model.encoder.embeddings.word_embeddings,  # type: ignore[union-attr, arg-type]
    )
    by_token_1LD = gradients.attribute(
        ids_1L,
        baselines=baseline_1L,
        n_steps=steps,
        internal_batch_size=max(1, batch_tokens // ids_1L.shape[1]),
    )
    assert isinstance(by_token_1LD, Tensor)
    # At the edges the baseline is the text itself: they get nothing.
    by_token = by_token_1LD.double().sum(2)[0, 1:-1].tolist()
    with torch.inference_mode():
        polarity = float(_polarity(model, ids_1L))
        baseline = float(_polarity(model, baseline_1L))
    return Explanation(
        text=text,
        words=words_of_pieces(
            text, encoding.offsets[:num_read], encoding.word_ids[:num_read], by_token
        ),
        polarity=polarity,
        baseline_polarity=baseline,
        completeness_gap=sum(by_token) - (polarity - baseline),
        truncated=num_read < len(encoding.ids),
        steps=steps,
    )


def _polarity(model: ReviewModel, ids_BL: Tensor) -> Tensor:
    """Return p_positive - p_negative, shape (B,); no token is padding, `[PAD]` is read too."""
    summary_BX = model.encode(ids_BL, torch.ones_like(ids_BL)).summary_BX
    stars_B5 = (model.stars(summary_BX) / model.star_temperature).softmax(1)
    return stars_B5[:, 3:].sum(1) - stars_B5[:, :2].sum(1)


def _num_read(word_of_token: Sequence[int | None], room: int) -> int:
    """Return how many tokens fit, cut between words; a word that fills all the room is cut."""
    if len(word_of_token) <= room:
        return len(word_of_token)
    num = room
    while num and word_of_token[num] is not None and word_of_token[num - 1] == word_of_token[num]:
        num -= 1
    return num or room


def words_of_pieces(
    text: str,
    offsets: Sequence[tuple[int, int]],
    word_of_piece: Sequence[int | None],
    attributions: Sequence[float],
) -> tuple[Word, ...]:
    """Sum the pieces that a model read to words.

    Pieces of one number belong to one word, and so do those that overlap, or that touch within a
    word of Latin script.

    Args:
        text: The cleaned text.
        offsets: First character of each piece and the one after its last, in order.
        word_of_piece: Number of each piece's word, None for one that is no word's.
        attributions: Of each piece.

    >>> [
    ...     (word.start, word.end, word.attribution)
    ...     for word in words_of_pieces("USB线", [(0, 1), (1, 3), (3, 4)], [0, 1, 2], [1, 2, 4])
    ... ]
    [(0, 3, 3), (3, 4, 4)]
    """
    whole = {
        place: match.start()
        for match in _LATIN_WORD.finditer(text)
        for place in range(match.start(), match.end())
    }
    words: list[Word] = []
    number_before = None
    for number, (start, end), attribution in zip(word_of_piece, offsets, attributions, strict=True):
        before = words[-1] if words else None
        if before is not None and (
            (number is not None and number == number_before)
            or start < before.end
            or (start == before.end and whole.get(start, -1) == whole.get(start - 1, -2))
        ):
            start, end = before.start, max(before.end, end)
            attribution += words.pop().attribution
        words.append(Word(start=start, end=end, attribution=attribution))
        number_before = number
    return tuple(words)


def nothing_read(text: str, *, steps: int) -> Explanation:
    """Return the explanation of a text without tokens: neutral, as everywhere."""
    return Explanation(
        text=text,
        words=(),
        polarity=0.0,
        baseline_polarity=0.0,
        completeness_gap=0.0,
        truncated=False,
        steps=steps,
    )
