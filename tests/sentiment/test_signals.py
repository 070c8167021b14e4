import pytest

from sentiment.aspects import AspectList
from sentiment.reading import Readings, Wish
from sentiment.signals import signals_frame

TEXT = "I wish it had a light. The strap is short."
BY_RULES = "I wish it had a light"


def needs(*wishes: Wish) -> list[str]:
    readings = Readings.nothing(1)
    readings.wishes[0] = list(wishes)
    frame = signals_frame([TEXT], ["en"], readings, AspectList.load(), version="test")
    return [need["text"] for need in frame["needs"][0]]


def wish(words: str, probability: float, *, certain: bool = False) -> Wish:
    start = TEXT.index(words)
    return Wish(
        start=start,
        end=start + len(words),
        kind="improvement",
        probability=probability,
        certain=certain,
    )


@pytest.mark.parametrize(("probability", "found"), [(0.01, []), (0.2, [BY_RULES])])
def test_what_the_head_denies_is_no_need(probability: float, found: list[str]) -> None:
    assert needs(wish("I wish it had a light.", probability)) == found


def test_one_clause_that_is_not_denied_is_enough() -> None:
    assert needs(wish("I wish", 0.01), wish("it had a light.", 0.5)) == [BY_RULES]


def test_what_the_head_never_read_is_not_denied() -> None:
    assert needs() == [BY_RULES]
    assert needs(wish("The strap is short.", 0.01)) == [BY_RULES]


def test_the_head_adds_what_rules_do_not_find() -> None:
    strap = "The strap is short."
    assert needs(wish(strap, 0.9, certain=True)) == [BY_RULES, strap]
    assert needs(wish(strap, 0.6)) == [BY_RULES]
    assert needs(wish("I wish it had a light.", 0.9, certain=True)) == [BY_RULES]


def test_what_is_said_twice_is_one_need() -> None:
    text = "I wish it had a light. Really. I WISH it had a light."
    frame = signals_frame([text], ["en"], Readings.nothing(1), AspectList.load(), version="test")
    assert [need["start"] for need in frame["needs"][0]] == [0]
