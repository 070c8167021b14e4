"""Texts as tokens in windows and batches: what a model runs, made without the model."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tokenizers import Encoding, Tokenizer

from sentiment.batching import token_budget_batches
from sentiment.sentences import clause_spans, sentence_spans
from sentiment.windows import token_windows

EDGES = 2  # [CLS] and [SEP]


@dataclass(frozen=True, kw_only=True)
class TextTokens:
    """The tokens of a text, without special ones.

    Attributes:
        ids: Token ids.
        starts: First character of each token, shape (L,).
        ends: The character after its last, shape (L,).
        words: Number of each token's word.
    """

    ids: list[int]
    starts: np.ndarray
    ends: np.ndarray
    words: list[int | None]

    @classmethod
    def of(cls, encoding: Encoding) -> "TextTokens":
        """Copy them out of an encoding once: it makes a new list each time it is asked for one."""
        offsets = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2)
        return cls(
            ids=encoding.ids, starts=offsets[:, 0], ends=offsets[:, 1], words=encoding.word_ids
        )


@dataclass(frozen=True, kw_only=True)
class Window:
    """Tokens start:end of a text, and the clauses that begin in it, as tokens of the window."""

    text: int
    start: int
    end: int
    clauses: list[tuple[int, int]]


@dataclass(frozen=True, kw_only=True)
class PreparedTexts:
    """N texts, ready to be run.

    Attributes:
        tokens: Of each text.
        windows: Of all texts.
        batches: Which windows run together.
        truncated: Which texts had more windows than are read, bool, shape (N,).
    """

    tokens: list[TextTokens]
    windows: list[Window]
    batches: list[np.ndarray]
    truncated: np.ndarray


def prepare_texts(
    tokenizer: Tokenizer,
    texts: Sequence[str],
    *,
    max_tokens: int,
    max_windows: int,
    batch_tokens: int,
) -> PreparedTexts:
    """Cut cleaned texts into tokens, windows and batches.

    Args:
        tokenizer: Without truncation and padding.
        texts: N cleaned texts.
        max_tokens: Of a window, the two special ones included.
        max_windows: Of a text.
        batch_tokens: Padded tokens of a batch.
    """
    encodings = tokenizer.encode_batch(list(texts), add_special_tokens=False)
    tokens = [TextTokens.of(encoding) for encoding in encodings]
    truncated = np.zeros(len(texts), dtype=bool)
    windows: list[Window] = []
    for number, text in enumerate(texts):
        of_text = _windows(number, text, tokens[number], max_tokens - EDGES)
        truncated[number] = len(of_text) > max_windows
        windows += of_text[:max_windows]
    lengths = np.array([window.end - window.start + EDGES for window in windows], dtype=np.int64)
    batches = list(token_budget_batches(lengths, batch_tokens))
    return PreparedTexts(tokens=tokens, windows=windows, batches=batches, truncated=truncated)


def _windows(number: int, text: str, tokens: TextTokens, room: int) -> list[Window]:
    if not tokens.ids:
        return []
    starts = tokens.starts
    if len(starts) <= room:
        cuts = [(0, len(starts))]
    else:
        begins = [start for start, _ in sentence_spans(text)]
        cuts = token_windows(len(starts), np.searchsorted(starts, begins).tolist(), most=room)
    bounds = np.searchsorted(starts, np.array(clause_spans(text)).reshape(-1, 2)).tolist()
    return [
        Window(
            text=number,
            start=start,
            end=end,
            clauses=[
                (max(a, start) - start, min(b, end) - start)
                for a, b in bounds
                if start <= a < min(b, end)
            ],
        )
        for start, end in cuts
    ]
