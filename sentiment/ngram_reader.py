"""Reads Chinese with the n-gram model: polarity of texts and clauses, and a narrow embedding.

It knows neither terms nor emotions; a review model in `ScorerConfig.chinese` does.
"""

from typing import TYPE_CHECKING

import numpy as np

from sentiment.ngram_model import MAX_CHARACTERS, NgramModel
from sentiment.reading import Opinion, Readings
from sentiment.sentences import clause_spans

if TYPE_CHECKING:
    from sentiment.explaining import Explanation

# Of negative, neutral and positive, the stars they stand for.
_STARS = np.array([[0.5, 0.5, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0.5, 0.5]], dtype=np.float32)


class NgramReader:
    """The n-gram model behind the interface of readers."""

    def __init__(self, model: NgramModel) -> None:
        self._model = model

    def explain(self, text: str) -> "Explanation":
        """Return which characters of a text moved its polarity."""
        from sentiment.ngram_explaining import explain_ngrams

        return explain_ngrams(self._model, text)

    def read(self, texts: list[str]) -> Readings:
        """Return what is found, in the order of `texts`."""
        found = Readings.nothing(len(texts))
        if not texts:
            return found
        vectors, classes = self._model.embed_and_classify(texts)
        num_characters = np.array([len("".join(text.split())) for text in texts])
        found.stars = classes.astype(np.float32) @ _STARS
        found.embedding[:, : vectors.shape[1]] = vectors
        found.num_tokens = np.minimum(num_characters, MAX_CHARACTERS)
        found.truncated = num_characters > MAX_CHARACTERS
        spans = [(row, *span) for row, text in enumerate(texts) for span in clause_spans(text)]
        _, of_clauses = self._model.embed_and_classify([texts[row][a:b] for row, a, b in spans])
        for (row, start, end), by_class in zip(spans, of_clauses, strict=True):
            found.clauses[row].append(
                Opinion(
                    start=start,
                    end=end,
                    polarity=float(by_class[2] - by_class[0]),
                    confidence=float(by_class.max()),
                )
            )
        return found
