"""The labels of needs: where they point to, and that what is learned is never what is reported."""

import itertools
import json
from collections import Counter
from pathlib import Path

import pytest

from jobs.needs_labels import (
    LABELS,
    LEARNED_SPLITS,
    REPORTED_SPLIT,
    UNREAD_SPLIT,
    VALID_SPLIT,
    labelled_sentences,
)
from sentiment.needs import NEED_KINDS

DATA = Path(__file__).parents[3] / "shared" / "data"
ROWS = [json.loads(line) for line in LABELS.read_text("utf-8").splitlines()]


def test_every_sentence_is_in_one_split() -> None:
    places = Counter((row["file"], row["row"], row["start"], row["end"]) for row in ROWS)
    assert max(places.values()) == 1
    assert {row["split"] for row in ROWS} == {
        *LEARNED_SPLITS,
        VALID_SPLIT,
        REPORTED_SPLIT,
        UNREAD_SPLIT,
    }
    sizes = Counter(row["split"] for row in ROWS)
    assert (sizes[VALID_SPLIT], sizes[REPORTED_SPLIT]) == (600, 600)


def test_needs_lie_within_their_sentence_and_apart() -> None:
    for row in ROWS:
        for name in ("needs", "pass_a", "pass_b"):
            needs = row.get(name, [])
            for need in needs:
                assert row["start"] <= need["start"] < need["end"] <= row["end"]
                assert need["kind"] in NEED_KINDS
            for first, second in itertools.pairwise(needs):
                assert first["end"] <= second["start"]


def test_what_is_reported_was_read_twice() -> None:
    reported = [row for row in ROWS if row["split"] == REPORTED_SPLIT]
    assert all("pass_a" in row and "pass_b" in row for row in reported)
    agreed = sum(bool(row["pass_a"]) == bool(row["pass_b"]) for row in reported)
    assert agreed == 295 + 298


@pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data")
def test_no_text_is_learned_and_reported() -> None:
    learned = {one.text for one in labelled_sentences(DATA, LEARNED_SPLITS)}
    judged = [one.text for one in labelled_sentences(DATA, (VALID_SPLIT, REPORTED_SPLIT))]
    assert len(set(judged)) == len(judged) == 1200
    assert not learned.intersection(judged)
    assert all(need.text for one in labelled_sentences(DATA, ("report",)) for need in one.needs)
