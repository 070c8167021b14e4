import itertools
import re
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentiment.needs import NEED_KINDS, RULES_FILE, find_needs

ADD, CHANGE, OTHER, ASK = NEED_KINDS


@pytest.mark.parametrize(
    ("text", "needs"),
    [
        ("I wish the cable were longer.", [("I wish the cable were longer", CHANGE)]),
        ("Great, but wish it came in black.", [("wish it came in black", ADD)]),
        ("It should have been thicker.", [("It should have been thicker", CHANGE)]),
        (
            "There should be a manual included.",
            [("There should be a manual included", ADD)],
        ),
        ("Could be a little brighter, but fine.", [("Could be a little brighter", CHANGE)]),
        (
            "It would be nice if it had a light.",
            [("It would be nice if it had a light", ADD)],
        ),
        ("I should have ordered a medium.", [("I should have ordered a medium", OTHER)]),
        ("Does it fit a seven string guitar?", [("Does it fit a seven string guitar", ASK)]),
        (
            "Please make it in red. I wish it had pockets!",
            [
                ("Please make it in red", ADD),
                ("I wish it had pockets", ADD),
            ],
        ),
        ("要是有黑色就好了", [("要是有黑色就好了", ADD)]),
        ("很满意，希望物流快一点。", [("希望物流快一点", CHANGE)]),
        ("建议商家改进包装", [("建议商家改进包装", CHANGE)]),
        ("请问怎么安装？", [("请问怎么安装", ASK)]),
        ("电池续航有待提高", [("电池续航有待提高", CHANGE)]),
    ],
)
def test_needs_by_hand(text: str, needs: list[tuple[str, str]]) -> None:
    assert [(need.text, need.kind) for need in find_needs(text)] == needs


@pytest.mark.parametrize(
    "text",
    [
        "You should buy it.",
        "It should be fine.",
        "I wish I had bought this sooner.",
        "I needed a strap and this is perfect.",
        "It broke.",
        "What more could you want?",
        "If you need a light, get this one.",
        "It couldn't be better.",
        "希望好用",
        "建议大家购买",
        "不建议购买",
        "东西很好",
        "",
    ],
)
def test_praise_advice_and_hope_are_no_needs(text: str) -> None:
    assert find_needs(text) == []


@given(st.text(alphabet="wish it had a.?! could be better 希望改进要是有就好了，", max_size=80))
def test_needs_are_spans_of_the_text_in_order(text: str) -> None:
    needs = find_needs(text)
    assert all(text[need.start : need.end] == need.text != "" for need in needs)
    assert all(a.end <= b.start for a, b in itertools.pairwise(needs))
    assert {need.kind for need in needs} <= set(NEED_KINDS)


@pytest.mark.timeout(30)
def test_rules_do_not_backtrack_for_ever_on_wishing_words() -> None:
    text = "it could be it should be i wish it would be nice to have more " * 400
    assert find_needs(text)[0].text.startswith("i wish it would be nice")


def test_every_rule_names_a_known_kind() -> None:
    content = tomllib.loads(RULES_FILE.read_text())
    rules = [rule for language in content["rules"].values() for rule in language]
    assert {rule["kind"] for rule in rules if "kind" in rule} <= set(NEED_KINDS)
    assert len(rules) > 20
    unknown = [
        name
        for rule in rules
        for part in rule.values()
        for name in re.findall(r"\{([a-z]+)\}", part if isinstance(part, str) else "".join(part))
        if name not in content["parts"]["en"]
    ]
    assert unknown == []
