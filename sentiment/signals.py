"""From what was read in texts to rows of `ReviewSignals`."""

from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np
import polars as pl
import pyarrow as pa

from sentiment.aspects import AspectList
from sentiment.emotions import SHOP_EMOTIONS
from sentiment.needs import Need, find_needs
from sentiment.reading import Opinion, Readings, Wish
from sentiment.schema import EMBEDDING_DIM

# Opinions from here on oppose each other in a `mixed` text.
STRONG = 0.5
_LEAST_CONFIDENCE = 0.5
# What rules take for a need is none where the head is surer than this that it is not.
_LEAST_NEED = 0.05
_STAR_VALUES = np.arange(1, 6, dtype=np.float32)
_ASPECT: Mapping[str, pa.DataType] = {
    "aspect": pa.string(),
    "polarity": pa.float32(),
    "confidence": pa.float32(),
    "start": pa.int32(),
    "end": pa.int32(),
}
_NEED: Mapping[str, pa.DataType] = {
    "text": pa.string(),
    "start": pa.int32(),
    "end": pa.int32(),
    "kind": pa.string(),
}


def signals_frame(
    texts: Sequence[str],
    languages: Sequence[str],
    readings: Readings,
    aspects: AspectList,
    *,
    version: str,
) -> pl.DataFrame:
    """Return one row a cleaned text, with every column of `ReviewSignals` but `review_id`.

    Args:
        texts: N cleaned texts.
        languages: Of each.
        readings: What was read of each.
        aspects: Names what opinions are of.
        version: Of the model.
    """
    by_star = readings.stars
    negative, neutral, positive = by_star[:, :2].sum(1), by_star[:, 2], by_star[:, 3:].sum(1)
    nothing = readings.num_tokens == 0
    of_text = list(zip(texts, readings.terms, readings.clauses, readings.wishes, strict=True))
    columns = {
        "model_version": pa.array([version] * len(texts), pa.string()),
        "language": pa.array(languages, pa.string()),
        "p_negative": _floats(np.clip(negative, 0, 1)),
        "p_neutral": _floats(np.clip(neutral, 0, 1)),
        "p_positive": _floats(np.clip(positive, 0, 1)),
        "polarity": _floats(np.clip(positive - negative, -1, 1)),
        "intensity": _floats(np.clip(by_star @ np.abs(_STAR_VALUES - 3) / 2, 0, 1)),
        "stars_expected": _floats(np.clip(by_star @ _STAR_VALUES, 1, 5)),
        "mixed": pa.array([_is_mixed(a, b) for _, a, b, _ in of_text], pa.bool_()),
        "emotions": pa.StructArray.from_arrays(
            [_floats(of_emotion) for of_emotion in readings.emotions.T],
            list(SHOP_EMOTIONS),
            mask=pa.array(nothing),
        ),
        "aspects": _lists([_aspects_of(text, a, b, aspects) for text, a, b, _ in of_text], _ASPECT),
        "needs": _lists([_needs_of(text, wishes) for text, _, _, wishes in of_text], _NEED),
        "embedding": pa.FixedSizeListArray.from_arrays(
            pa.array(readings.embedding.reshape(-1), pa.float32()),
            EMBEDDING_DIM,
            mask=pa.array(nothing),
        ),
        "truncated": pa.array(readings.truncated),
    }
    frame = pl.from_arrow(pa.table(columns))
    assert isinstance(frame, pl.DataFrame)
    return frame


def _aspects_of(
    text: str, terms: Sequence[Opinion], clauses: Sequence[Opinion], aspects: AspectList
) -> list[tuple[str, float, float, int, int]]:
    """Return the aspects of a text: named ones, and those that a clause without a term implies."""
    found = [
        (
            aspects.canonical(text[term.start : term.end]) or text[term.start : term.end].lower(),
            term,
        )
        for term in terms
    ]
    for clause in clauses:
        if not any(term.start < clause.end and clause.start < term.end for term in terms):
            implied = aspects.implied(text[clause.start : clause.end])
            found += [(name, clause) for name in implied]
    found.sort(key=lambda named: (named[1].start, named[0]))
    return [
        (name, span.polarity, min(1.0, span.confidence), span.start, span.end)
        for name, span in found
    ]


def _needs_of(text: str, wishes: Sequence[Wish]) -> list[tuple[str, int, int, str]]:
    """Return needs by the rules that the head does not deny, and by the head where there are none.

    What the head never read, because the text is too long, it does not deny. What is said twice in
    the same words is one need.
    """
    needs: list[Need | Wish] = [
        need
        for need in find_needs(text)
        if max((w.probability for w in wishes if _meet(need, w)), default=1.0) >= _LEAST_NEED
    ]
    needs += [
        wish for wish in wishes if wish.certain and not any(_meet(need, wish) for need in needs)
    ]
    needs.sort(key=lambda need: need.start)
    first: dict[str, Need | Wish] = {}
    for need in needs:
        first.setdefault(text[need.start : need.end].casefold(), need)
    return [
        (text[need.start : need.end], need.start, need.end, need.kind) for need in first.values()
    ]


def _meet(a: Need | Wish, b: Need | Wish) -> bool:
    return a.start < b.end and b.start < a.end


def _is_mixed(terms: Sequence[Opinion], clauses: Sequence[Opinion]) -> bool:
    polarities = [o.polarity for o in (*terms, *clauses) if o.confidence >= _LEAST_CONFIDENCE]
    return bool(polarities) and max(polarities) >= STRONG and min(polarities) <= -STRONG


def _floats(values: np.ndarray) -> pa.Array:
    """Return float32 with nulls for NaN."""
    return pa.array(np.ascontiguousarray(values), pa.float32(), from_pandas=True)


def _lists(rows: Sequence[Sequence[tuple]], fields: Mapping[str, pa.DataType]) -> pa.Array:
    """Return a list of structs a row."""
    columns = list(zip(*chain.from_iterable(rows), strict=True)) or [()] * len(fields)
    values = pa.StructArray.from_arrays(
        [pa.array(column, of) for column, of in zip(columns, fields.values(), strict=True)],
        list(fields),
    )
    offsets = np.cumsum([0, *map(len, rows)])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)
