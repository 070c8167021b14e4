"""The public data on aspects: sentences with terms, opinions, polarity; English and Chinese.

Some files hold a sentence several times in other spellings: one of which a copy is held out is held
out with all of them.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from jobs.sentiment_sources import held_out, read_csv
from sentiment.needs import NEED_KINDS, Need
from sentiment.sentences import clause_spans
from sentiment.tasks import Span

_HELD_OUT_DOMAINS = ("laptop14", "restaurant14")
_OPINION_DOMAIN = "shampoo"


@dataclass(frozen=True, kw_only=True)
class Terms:
    """Sentences with every aspect term in them."""

    texts: list[str]
    spans: list[list[Span]]


def aspect_terms(data: Path, domains: Sequence[str] | None = None) -> Terms:
    """English sentences with aspect terms of the given domains, of all without any."""
    frame = read_csv(data / "aspects_en/aspect_terms.csv.gz")
    if domains is not None:
        frame = frame.filter(pl.col("domain").is_in(list(domains)))
    return _terms(frame)


def letters_of(text: str) -> str:
    """Return a text's letters and digits in lower case: what is left where it was copied loosely.

    >>> letters_of("Good sound , no hum!") == letters_of("good sound, no hum")
    True
    """
    return "".join(filter(str.isalnum, text.lower()))


def _terms(frame: pl.DataFrame) -> Terms:
    """Gather the terms of each text; one that two people judged differently has one polarity.

    The files hold some texts several times, with other spaces and other terms each time: the first
    copy gets the terms of all.
    """
    classes = {"Negative": 0, "Neutral": 1, "Positive": 2}
    texts: dict[str, str] = {}
    of_text: dict[str, dict[tuple[int, int], int]] = {}
    for copy, term, start, polarity in frame.select(
        "text", "aspect", "char_pos", "polarity"
    ).iter_rows():
        text = texts.setdefault(letters_of(copy), copy)
        spans = of_text.setdefault(text, {})
        if copy[start : start + len(term)] != term:
            continue
        place = _placed(start, start + len(term), copy, text)
        if place is not None:
            spans.setdefault(place, classes[polarity])
    return Terms(
        texts=list(of_text),
        spans=[
            [Span(start=a, end=b, polarity=c) for (a, b), c in sorted(spans.items())]
            for spans in of_text.values()
        ],
    )


def _placed(start: int, end: int, copy: str, text: str) -> tuple[int, int] | None:
    """Return where characters start:end of a copy are in a text of the same letters and digits."""
    if copy == text:
        return start, end
    before = sum(map(str.isalnum, copy[:start]))
    inside = sum(map(str.isalnum, copy[start:end]))
    at = [place for place, letter in enumerate(text) if letter.isalnum()]
    return (at[before], at[before + inside - 1] + 1) if inside else None


def chinese_aspect_terms(data: Path) -> Terms:
    """Chinese sentences of product reviews and courses with aspect terms."""
    frame = read_csv(data / "aspects_zh/aspect_terms.csv.gz")
    return _terms(frame.filter(pl.col("domain") != _OPINION_DOMAIN))


def shampoo_opinions(data: Path) -> Terms:
    """Chinese reviews of shampoo with opinions, which are phrases and no aspect terms.

    The file has a review once for each opinion, with a space put behind that one.
    """
    frame = read_csv(data / "aspects_zh/aspect_terms.csv.gz")
    frame = frame.filter(pl.col("domain") == _OPINION_DOMAIN)
    texts = []
    for text, term, start in frame.select("text", "aspect", "char_pos").iter_rows():
        end = start + len(term)
        texts.append(text[:end] + text[end:].removeprefix(" "))
    return _terms(frame.with_columns(text=pl.Series(texts, dtype=pl.String)))


def dianping_terms(data: Path, split: str) -> Terms:
    """Chinese restaurant reviews with aspect terms, each at its first place in the text."""
    frame = read_csv(data / "aspects_zh/dianping_triplets.csv.gz")
    frame = frame.filter(pl.col("split") == split).drop_nulls(["text", "aspect", "polarity"])
    starts = [text.find(term) for text, term in frame.select("text", "aspect").iter_rows()]
    frame = frame.with_columns(char_pos=pl.Series(starts)).filter(pl.col("char_pos") >= 0)
    return _terms(frame)


def training_terms(data: Path, domains: Sequence[str] | None = None) -> Terms:
    """Return aspect sentences but the held-out tenth of laptops and restaurants, in any spelling.

    Years and data sets of reviews of restaurants share sentences.
    """
    test = {letters_of(text) for text in held_out_terms(data).texts}
    terms = aspect_terms(data, domains)
    kept = [row for row, text in enumerate(terms.texts) if letters_of(text) not in test]
    return Terms(texts=[terms.texts[r] for r in kept], spans=[terms.spans[r] for r in kept])


def held_out_terms(data: Path) -> Terms:
    """Return the tenth of laptop and restaurant sentences that is never trained on."""
    terms = aspect_terms(data, _HELD_OUT_DOMAINS)
    kept = np.flatnonzero(held_out(terms.texts)).tolist()
    return Terms(texts=[terms.texts[r] for r in kept], spans=[terms.spans[r] for r in kept])


def single_terms(terms: Terms, data: Path) -> Terms:
    """Leave out English sentences that the file has in several spellings or data sets."""
    copies = read_csv(data / "aspects_en/aspect_terms.csv.gz").select("domain", "text").unique()
    spellings = Counter(map(letters_of, copies["text"]))
    kept = [row for row, text in enumerate(terms.texts) if spellings[letters_of(text)] == 1]
    return Terms(texts=[terms.texts[r] for r in kept], spans=[terms.spans[r] for r in kept])


def acos_opinions(data: Path, split: str) -> Terms:
    """English laptop and restaurant reviews with opinions; one without a term is of the whole text.

    A whole text counts where all its opinions agree. Source: Cai et al. 2021,
    "Aspect-Category-Opinion-Sentiment Quadruple Extraction".
    """
    frame = read_csv(data / "aspects_en/acos_quads.csv.gz").filter(pl.col("split") == split)
    classes = {"negative": 0, "neutral": 1, "positive": 2}
    found: dict[str, dict[tuple[int, int], set[int]]] = {}
    for text, span, polarity in frame.select("text", "aspect_span", "polarity").iter_rows():
        first, last = map(int, span.split(","))
        words = text.split(" ")
        start = sum(len(word) + 1 for word in words[:first]) if first >= 0 else 0
        end = start + len(" ".join(words[first:last])) if first >= 0 else len(text)
        found.setdefault(text, {}).setdefault((start, end), set()).add(classes[polarity])
    for text, spans in found.items():
        if len(set().union(*spans.values())) > 1:
            spans.pop((0, len(text)), None)
    return Terms(
        texts=list(found),
        spans=[
            [
                Span(start=start, end=end, polarity=next(iter(polarities)))
                for (start, end), polarities in spans.items()
                if len(polarities) == 1
            ]
            for spans in found.values()
        ],
    )


def clauses_of_terms(terms: Terms) -> Terms:
    """Return clauses as spans: one that holds terms of one polarity has that polarity."""
    spans = []
    for text, of_text in zip(terms.texts, terms.spans, strict=True):
        clauses = []
        for start, end in clause_spans(text):
            found = {span.polarity for span in of_text if start <= span.start < end}
            if len(found) == 1:
                clauses.append(Span(start=start, end=end, polarity=found.pop()))
        spans.append(clauses)
    return Terms(texts=terms.texts, spans=spans)


def clauses_with_needs(texts: Sequence[str], needs: Sequence[Sequence[Need]]) -> Terms:
    """Return every clause as a span of class 0, or 1 + the kind of the need that covers half of it.

    Args:
        texts: N texts.
        needs: The needs of each.
    """
    spans = []
    for text, of_text in zip(texts, needs, strict=True):
        clauses = []
        for start, end in clause_spans(text):
            kinds = [
                1 + NEED_KINDS.index(need.kind)
                for need in of_text
                if 2 * (min(end, need.end) - max(start, need.start)) >= end - start
            ]
            clauses.append(Span(start=start, end=end, polarity=kinds[0] if kinds else 0))
        spans.append(clauses)
    return Terms(texts=list(texts), spans=spans)


def stars_of_terms(terms: Terms) -> np.ndarray:
    """Return the stars that the terms of a text allow, bool, shape (N, 5).

    Terms that agree stand for the whole text; where they do not, or there are none, all stars are
    allowed.
    """
    allowed = np.ones((len(terms.texts), 5), dtype=bool)
    by_polarity = np.array([[1, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 1]], dtype=bool)
    for row, spans in enumerate(terms.spans):
        found = {span.polarity for span in spans}
        if len(found) == 1:
            allowed[row] = by_polarity[found.pop()]
    return allowed
