import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentiment.sentences import sentence_spans


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Great sound, but broke in a week", ["Great sound, but broke in a week"]),
        ("Good. Really good!! Why not?", ["Good.", "Really good!!", "Why not?"]),
        ("It is 3.5 mm wide. Fine.", ["It is 3.5 mm wide.", "Fine."]),
        ("Good picks.I like them", ["Good picks.", "I like them"]),
        ("Wait... what? ok", ["Wait...", "what?", "ok"]),
        ("Plays mp3s, e.g. from a PC. Ok", ["Plays mp3s, e.g. from a PC.", "Ok"]),
        ('He said "no." I left.', ['He said "no."', "I left."]),
        ("音质很好！线太短，不方便。希望改进", ["音质很好！", "线太短，不方便。", "希望改进"]),
        ("很好 很快", ["很好", "很快"]),
        ("one\n\ntwo", ["one", "two"]),
        (" \n ", []),
        ("", []),
        ("!!!", ["!!!"]),
    ],
)
def test_sentences_by_hand(text: str, sentences: list[str]) -> None:
    assert [text[start:end] for start, end in sentence_spans(text)] == sentences


@given(st.text(alphabet="ab .!?\n。！好 ,", max_size=60))
def test_spans_are_ordered_and_lose_only_white_space(text: str) -> None:
    spans = sentence_spans(text)
    assert all(start < end for start, end in spans)
    assert all(first[1] <= second[0] for first, second in itertools.pairwise(spans))
    kept = "".join(text[start:end] for start, end in spans)
    assert "".join(kept.split()) == "".join(text.split())
