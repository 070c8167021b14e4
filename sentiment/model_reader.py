"""Reads texts with a review model: one pass of the encoder, from which every head is read.

A text that is longer than a window is read in several; what they say is put together by their
numbers of tokens. Before and after the model there is work that needs no accelerator: `prepare`,
`run` and `gather` may be done by different processes, `read` does all three.

Shape suffixes: B windows of a batch, L tokens, S spans.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from sentiment.batching import padded
from sentiment.decoding import tag_spans, whole_words
from sentiment.emotions import shop_emotions, strengths
from sentiment.fused_layers import FusedLayers, can_fuse
from sentiment.model_file import TrainedModel
from sentiment.needs import NEED_KINDS
from sentiment.prepared_texts import EDGES, PreparedTexts, TextTokens, Window, prepare_texts
from sentiment.products import can_pack
from sentiment.reader_config import ReaderConfig
from sentiment.reading import Opinion, Readings, Wish
from sentiment.review_model import BEGIN, Encoded, ReviewModel

if TYPE_CHECKING:
    from sentiment.explaining import Explanation


class Heads(NamedTuple):
    """What the heads say of the windows of a batch and of the spans in them."""

    stars: np.ndarray
    emotions: np.ndarray
    embedding: np.ndarray
    terms: list[list[tuple[int, int]]]
    confidence: list[float]
    spans: list[tuple[int, int, int]]
    polarity: np.ndarray
    needs: np.ndarray


class ModelReader:
    """A review model with its tokenizer on one device."""

    def __init__(self, trained: TrainedModel, config: ReaderConfig) -> None:
        self.config = config
        self._trained = trained
        self.model: ReviewModel = trained.model.to(config.device).eval()
        self._tokenizer = trained.tokenizer
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._first, self._last = _edges(self._tokenizer)
        self._thresholds = self.model.emotion_thresholds.cpu().numpy()
        encoder, fused = self.model.encoder, can_fuse(self.model.encoder)
        packed = config.bf16 and fused and config.device_type == "cpu" and can_pack()
        self._layers = FusedLayers(encoder, bf16=packed) if fused else None  # type: ignore[arg-type]
        # Of an encoder that is not known step by step, torch decides what may be rounded.
        self._autocast = config.bf16 and not packed

    def read(self, texts: Sequence[str]) -> Readings:
        """Read N cleaned texts.

        Returns:
            Readings in the order of `texts`; spans are characters of each text.
        """
        prepared = self.prepare(texts)
        return self.gather(prepared, self.run(prepared))

    def prepare(self, texts: Sequence[str]) -> PreparedTexts:
        """Cut N cleaned texts into tokens, windows and batches."""
        return prepare_texts(
            self._tokenizer,
            texts,
            max_tokens=min(self.config.max_tokens, self.model.max_tokens),
            max_windows=self.config.max_windows,
            batch_tokens=self.config.tokens_a_batch,
        )

    def run(self, prepared: PreparedTexts) -> list[Heads]:
        """Run the model over every batch."""
        said = []
        for rows in prepared.batches:
            batch = [prepared.windows[row] for row in rows]
            tokens = [prepared.tokens[window.text] for window in batch]
            spans = [slice(window.start, window.end) for window in batch]
            said.append(
                self._run(
                    [of.ids[span] for of, span in zip(tokens, spans, strict=True)],
                    [of.words[span] for of, span in zip(tokens, spans, strict=True)],
                    [window.clauses for window in batch],
                )
            )
        return said

    def gather(self, prepared: PreparedTexts, said: Sequence[Heads]) -> Readings:
        """Put what `run` returned onto the texts."""
        found = Readings.nothing(len(prepared.tokens))
        found.truncated = prepared.truncated
        sums = _Sums(len(prepared.tokens), self.model)
        for rows, of_batch in zip(prepared.batches, said, strict=True):
            batch = [prepared.windows[row] for row in rows]
            sums.add(batch, np.array([window.end - window.start for window in batch]), of_batch)
            self._place_spans(batch, prepared.tokens, of_batch, found)
        sums.finish(found, self._thresholds)
        for of_texts in (found.terms, found.clauses, found.wishes):
            for spans in of_texts:
                spans.sort(key=lambda span: span.start)
        return found

    def explain(self, text: str) -> "Explanation":
        """Return which words of a cleaned text moved its polarity; one window of it is read."""
        from sentiment.explaining import explain

        config = self.config
        return explain(self._trained, text, max_tokens=config.max_tokens, device=config.device)

    @torch.inference_mode()
    def _run(
        self,
        ids: list[list[int]],
        words: list[list[int | None]],
        clauses: list[list[tuple[int, int]]],
    ) -> Heads:
        """Run a batch once; spans are (window, start, end) in tokens, edges not counted."""
        device = self.config.device
        ids_BL, mask_BL = padded([[self._first, *row, self._last] for row in ids], device)
        with torch.autocast(self.config.device_type, torch.bfloat16, enabled=self._autocast):
            encoded = self._encode(ids_BL, mask_BL)
            summary = encoded.summary_BX
            whole = (
                (self.model.stars(summary).float() / self.model.star_temperature).softmax(1),
                self.model.emotions(summary).float().sigmoid(),
                self.model.embed(encoded).float(),
            )
            tags_BL, sure_BL = self._tags(encoded)
            terms: list[list[tuple[int, int]]] = [[] for _ in words]
            for row in (tags_BL == BEGIN).any(1).nonzero().flatten().tolist():
                of_row = words[row]
                tags = tags_BL[row, 1 : len(of_row) + 1].tolist()
                terms[row] = whole_words(tag_spans(tags, [False] * len(of_row)), of_row)
            spans = [(row, a, b) for row, of_row in enumerate(terms) for a, b in of_row]
            sure = sure_BL.numpy()
            confidence = [float(sure[row, a + 1 : b + 1].mean()) for row, a, b in spans]
            spans += [(row, a, b) for row, of_row in enumerate(clauses) for a, b in of_row]
            polarity_S3, needs_SK = self._read_spans(encoded, spans)
        stars, emotions, embedding = (t.cpu().numpy() for t in whole)
        return Heads(
            stars=stars,
            emotions=emotions,
            embedding=embedding,
            terms=terms,
            confidence=confidence,
            spans=spans,
            polarity=polarity_S3.cpu().numpy(),
            needs=needs_SK.cpu().numpy(),
        )

    def _encode(self, ids_BL: Tensor, mask_BL: Tensor) -> Encoded:
        if self._layers is None:
            return self.model.encode(ids_BL, mask_BL)
        return self.model.gathered(self._layers(ids_BL, mask_BL), mask_BL)

    def _tags(self, encoded: Encoded) -> tuple[Tensor, Tensor]:
        """Return the most likely tag of each token, and its probability."""
        best = self.model.tags(encoded.tokens_BLD).float().softmax(-1).max(-1)
        return best.indices.cpu(), best.values.cpu()

    def _read_spans(
        self, encoded: Encoded, spans: list[tuple[int, int, int]]
    ) -> tuple[Tensor, Tensor]:
        """Return probabilities of polarities, (S, 3), and of needs, (S, 1 + kinds)."""
        # Without any span a tensor of an empty list would hold floating-point numbers.
        at = torch.tensor(spans, dtype=torch.long, device=self.config.device).reshape(-1, 3)
        read = self.model.spans(encoded, at[:, 0], at[:, 1] + 1, at[:, 2] + 1)
        polarity = self.model.span_polarity(read).float() / self.model.polarity_temperature
        return polarity.softmax(1), self.model.needs(read).float().softmax(1)

    def _place_spans(
        self, batch: list[Window], tokens: list[TextTokens], said: Heads, found: Readings
    ) -> None:
        """Put spans onto the characters of their texts."""
        num_terms = len(said.confidence)
        confidence = said.confidence + said.polarity[num_terms:].max(1).tolist()
        polarity = (said.polarity[:, 2] - said.polarity[:, 0]).tolist()
        need, kinds = (1 - said.needs[:, 0]).tolist(), said.needs[:, 1:].argmax(1)
        threshold = float(self.model.need_threshold)
        for place, (row, a, b) in enumerate(said.spans):
            window = batch[row]
            of_text = tokens[window.text]
            start = int(of_text.starts[window.start + a])
            end = int(of_text.ends[window.start + b - 1])
            is_term = place < num_terms
            (found.terms if is_term else found.clauses)[window.text].append(
                Opinion(
                    start=start, end=end, polarity=polarity[place], confidence=confidence[place]
                )
            )
            if not is_term and threshold < 1:
                found.wishes[window.text].append(
                    Wish(
                        start=start,
                        end=end,
                        kind=NEED_KINDS[int(kinds[place])],
                        probability=need[place],
                        certain=need[place] >= threshold,
                    )
                )


class _Sums:
    """What windows say of their texts, by tokens; emotions count by their strongest window."""

    def __init__(self, num_texts: int, model: ReviewModel) -> None:
        self.tokens = np.zeros(num_texts, dtype=np.int64)
        self.stars = np.zeros((num_texts, 5), dtype=np.float64)
        self.emotions = np.zeros((num_texts, len(model.config.emotions)), dtype=np.float64)
        self.embedding = np.zeros((num_texts, model.config.embedding_dim), dtype=np.float64)
        self.labels = model.config.emotions

    def add(self, batch: list[Window], tokens: np.ndarray, said: Heads) -> None:
        text = np.array([window.text for window in batch])
        np.add.at(self.tokens, text, tokens)
        np.add.at(self.stars, text, tokens[:, None] * said.stars)
        np.add.at(self.embedding, text, tokens[:, None] * said.embedding)
        np.maximum.at(self.emotions, text, said.emotions)

    def finish(self, found: Readings, thresholds: np.ndarray) -> None:
        read = self.tokens > 0
        tokens = self.tokens[read, None]
        found.num_tokens = self.tokens
        found.stars[read] = self.stars[read] / tokens
        found.emotions[read] = shop_emotions(
            strengths(self.emotions[read], thresholds), self.labels
        )
        length = np.linalg.norm(self.embedding[read], axis=1, keepdims=True)
        width = self.embedding.shape[1]
        found.embedding[read, :width] = self.embedding[read] / np.maximum(length, 1e-12)


def _edges(tokenizer) -> tuple[int, int]:
    """Return the ids that stand before and after every text."""
    ids = tokenizer.encode("").ids
    if len(ids) != EDGES:
        raise ValueError(f"the tokenizer puts {len(ids)} special tokens around a text, not two")
    return ids[0], ids[1]
