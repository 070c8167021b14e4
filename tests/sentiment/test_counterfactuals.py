"""Pairs from templates and real texts: only the listed words change, and only where they can."""

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentiment.counterfactuals import Pair, template_pairs, text_pairs
from sentiment.identity_words import IdentityWords
from sentiment.language import detect_language

WORDS = IdentityWords.load()
TEXTS = (
    "My husband bought his guitar; HE loves it.",
    "She bought it herself.",
    "An Indian seller in India was kind and it was good.",
    "I bought it from Emily and it was fine.",
    "A Muslim friend of mine has the same one.",
    "我老公很喜欢，他说很好用。",
    "中国制造，质量不错。",
)


def pairs_of(text: str, kind: str) -> list[Pair]:
    return [pair for pair in text_pairs(WORDS, [text]) if pair.kind == kind]


def both(text: str, kind: str = "gender") -> set[str]:
    """Return the versions of a text that speaks of two groups; none if it gives no pair."""
    return {said for pair in pairs_of(text, kind) for said in (pair.text, pair.other_text)}


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("He loves his new bass", "She loves her new bass"),
        ("My son likes HIS wah, and it suits him", "My daughter likes HER wah, and it suits her"),
        ("She plays it herself", "He plays it himself"),
        ("A man and an uncle came by", "A woman and an aunt came by"),
        ("My daughters and their grandmother", "My sons and their grandfather"),
        ("Emily's amp is the one she likes", "James's amp is the one he likes"),
        ("My brother has a Brother printer too", "My sister has a Brother printer too"),
        ("我老公说他很喜欢这把吉他，其他都好", "我老婆说她很喜欢这把吉他，其他都好"),
    ],
)
def test_words_of_a_group_are_swapped_together(text: str, other: str) -> None:
    assert both(text) == {text, other}


@pytest.mark.parametrize(
    "text",
    [
        "I gave it to her and the sound is good",
        "It is for her guitar, she said",
        "He told my wife that it is good",
        "The guitar is hers, and she likes it",
        "A friend of his said that he likes it",
        "He said it is his.",
        "Oh man, this is a man-made stone",
        "The other theme is the chest",
        "This one is the best of all",
        "这把吉他和其他的一样好",
        "他们都说他很喜欢",
        "",
    ],
)
def test_a_text_whose_counterpart_cannot_be_told_gives_no_pair(text: str) -> None:
    assert both(text) == set()


@pytest.mark.parametrize(
    ("text", "group", "wanted"),
    [
        ("An Indian seller and I like it", "african", "A Nigerian seller and I like it"),
        ("It is a German amp and I like it", "middle_eastern", "It is a Turkish amp and I like it"),
        ("It is a Japanese amp and I like it", "african", "It is a Kenyan amp and I like it"),
        ("It is a Korean amp and I like it", "african", "It is an Ethiopian amp and I like it"),
    ],
)
def test_articles_go_with_the_words(text: str, group: str, wanted: str) -> None:
    swapped = {
        pair.text if pair.group == group else pair.other_text
        for pair in pairs_of(text, "nationality")
        if group in (pair.group, pair.other_group)
    }
    assert swapped == {wanted}


def test_articles_of_templates_go_with_the_words() -> None:
    texts = {said for pair in template_pairs(WORDS) for said in (pair.text, pair.other_text)}
    assert any("a Nigerian friend" in text or "A Nigerian friend" in text for text in texts)
    assert "An elderly person sold it to me." in texts
    wrong = re.compile(r"\ba [aeiou]|\ban [^aeiou]", re.IGNORECASE)
    assert [text for text in texts if wrong.search(text)] == []


@pytest.mark.parametrize(
    ("text", "kind"),
    [("made of china and it was polish", "nationality"), ("the turkey was good", "nationality")],
)
def test_words_with_a_capital_are_found_only_so(text: str, kind: str) -> None:
    assert pairs_of(text, kind) == []


def test_every_other_group_gives_a_pair_in_the_order_of_the_list() -> None:
    kind = next(k for k in WORDS.kinds if (k.language, k.name) == ("en", "religion"))
    text = "A Hindu friend of mine has the same one."
    pairs = pairs_of(text, "religion")
    assert len(pairs) == len(kind.groups) - 1
    for pair in pairs:
        assert kind.groups.index(pair.group) < kind.groups.index(pair.other_group)
        assert text == (pair.text if pair.group == "hindu" else pair.other_text)


def test_lists_of_another_language_are_not_looked_for() -> None:
    assert text_pairs(WORDS, ["Эмили и James очень рады этой гитаре"]) == []
    assert {pair.language for pair in text_pairs(WORDS, list(TEXTS))} == {"en", "zh"}


@settings(max_examples=60)
@given(st.lists(st.sampled_from(TEXTS), min_size=1, max_size=6))
def test_texts_do_not_change_each_other(texts: list[str]) -> None:
    wanted = [
        replace(pair, source=source)
        for source, text in enumerate(texts)
        for pair in text_pairs(WORDS, [text])
    ]
    assert text_pairs(WORDS, texts) == wanted


def test_swapping_back_gives_the_text_again() -> None:
    for pair in text_pairs(WORDS, list(TEXTS)):
        back = [
            p
            for p in pairs_of(pair.other_text, pair.kind)
            if (p.group, p.other_group) == (pair.group, pair.other_group)
        ]
        # "her" has two counterparts: that way there is none.
        assert not back or (back[0].text, back[0].other_text) == (pair.text, pair.other_text)


def test_templates_are_filled_for_every_kind_and_two_groups() -> None:
    pairs = template_pairs(WORDS)
    found = {(p.language, p.kind, p.group, p.other_group) for p in pairs}
    assert len(found) == sum(len(k.groups) * (len(k.groups) - 1) // 2 for k in WORDS.kinds)
    for pair in pairs:
        assert pair.text != pair.other_text
        assert "{" not in pair.text + pair.other_text
        for text in (pair.text, pair.other_text):
            assert (detect_language(text) == "zh") == (pair.language == "zh")


def test_every_kind_has_enough_templates_for_an_interval() -> None:
    sources: dict[tuple[str, str], set[int]] = {}
    for pair in template_pairs(WORDS):
        sources.setdefault((pair.language, pair.kind), set()).add(pair.source)
    assert min(map(len, sources.values())) >= 9


def test_slots_of_one_template_go_together() -> None:
    pairs = [
        pair for pair in template_pairs(WORDS) if pair.kind == "gender" and "next door" in pair.text
    ]
    assert [pair.text for pair in pairs] == [
        f"I bought this for the {adult} next door, and she likes it a lot."
        for adult in ("woman", "lady", "girl")
    ]
    assert pairs[0].other_text == "I bought this for the man next door, and he likes it a lot."


def test_odd_letters_are_no_error() -> None:
    assert text_pairs(WORDS, ["hiſ ſhe İs ıt and it was good"]) == []
