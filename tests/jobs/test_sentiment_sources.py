"""Aspect files with copies of a sentence: terms are put together, nothing held out is learned."""

import gzip
from pathlib import Path

import polars as pl
import pytest

from jobs.sentiment_sources import held_out
from jobs.term_sources import (
    aspect_terms,
    chinese_aspect_terms,
    held_out_terms,
    letters_of,
    shampoo_opinions,
    single_terms,
    training_terms,
)

Row = tuple[str, str, str, str]


def write(path: Path, rows: list[Row]) -> None:
    """Write rows of domain, text, term and polarity; the term is where it first occurs."""
    frame = pl.DataFrame(
        rows, schema=["domain", "text", "aspect", "polarity"], orient="row"
    ).with_columns(
        char_pos=pl.Series([text.index(term) for _, text, term, _ in rows], dtype=pl.Int64),
        split=pl.lit("train"),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt") as file:
        file.write(frame.write_csv())


def english(folder: Path, *rows: Row) -> Path:
    write(folder / "aspects_en/aspect_terms.csv.gz", list(rows))
    return folder


def chinese(folder: Path, *rows: Row) -> Path:
    write(folder / "aspects_zh/aspect_terms.csv.gz", list(rows))
    return folder


def test_copies_of_a_sentence_have_the_terms_of_all(tmp_path: Path) -> None:
    data = english(
        tmp_path,
        ("television", "Good picture quality , clear (low) sound.", "picture quality", "Positive"),
        ("television", "good picture quality, clear (low) sound .", "(low) sound", "Negative"),
        ("television", "good picture quality, clear (low) sound .", "picture quality", "Neutral"),
        ("television", "Another one.", "one", "Neutral"),
    )
    found = aspect_terms(data)
    assert found.texts == ["Good picture quality , clear (low) sound.", "Another one."]
    [text, _], [spans, other] = found.texts, found.spans
    # Brackets at the edge of a term are no letters; who judged a term first is believed.
    assert [(text[s.start : s.end], s.polarity) for s in spans] == [
        ("picture quality", 2),
        ("low) sound", 0),
    ]
    assert [(s.start, s.end, s.polarity) for s in other] == [(8, 11, 1)]


def test_a_shampoo_review_stands_once_and_as_it_was_written(tmp_path: Path) -> None:
    data = chinese(
        tmp_path,
        ("shampoo", "香味好闻 ，头发顺滑", "香味好闻", "Positive"),
        ("shampoo", "香味好闻，头发顺滑", "头发顺滑", "Positive"),
        ("phone", "屏幕清晰", "屏幕", "Positive"),
    )
    opinions = shampoo_opinions(data)
    assert opinions.texts == ["香味好闻，头发顺滑"]
    assert [(span.start, span.end) for span in opinions.spans[0]] == [(0, 4), (5, 9)]
    assert chinese_aspect_terms(data).texts == ["屏幕清晰"]


def test_no_spelling_of_a_held_out_sentence_is_trained_on(tmp_path: Path) -> None:
    texts = [f"The screen number {number} is fine." for number in range(40)]
    rows = [("laptop14", text, "screen", "Positive") for text in texts]
    copies = [("mams", text.upper().replace(" ", "  "), "SCREEN", "Positive") for text in texts]
    data = english(tmp_path, *rows, *copies)
    out = {letters_of(text) for text in held_out_terms(data).texts}
    assert out == {letters_of(t) for t, held in zip(texts, held_out(texts), strict=True) if held}
    learned = {letters_of(text) for text in training_terms(data).texts}
    assert out
    assert learned == {letters_of(text) for text in texts} - out
    assert not {letters_of(text) for text in training_terms(data, ["mams"]).texts} & out


def test_sentences_of_a_single_spelling_are_told(tmp_path: Path) -> None:
    data = english(
        tmp_path,
        ("laptop14", "Fine screen.", "screen", "Positive"),
        ("laptop14", "Fine screen.", "Fine", "Positive"),
        ("laptop14", "Bad screen.", "screen", "Negative"),
        ("mams", "bad screen .", "screen", "Negative"),
    )
    assert single_terms(aspect_terms(data, ["laptop14"]), data).texts == ["Fine screen."]


@pytest.mark.parametrize(
    ("text", "letters"),
    [("It's 8 GB, OK?", "its8gbok"), ("音质 很好！", "音质很好"), ("...", "")],
)
def test_letters_are_what_is_left_of_loose_copies(text: str, letters: str) -> None:
    assert letters_of(text) == letters
