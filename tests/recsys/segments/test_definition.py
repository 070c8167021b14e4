"""Definitions: what files may say, what they are joined to, and their version."""

import re
from typing import Any

import pytest

from recsys.errors import SegmentError
from recsys.segments.definition import Definitions
from recsys.segments.definition_files import library, parse_segments
from recsys.segments.reading import tables_read

TOML = """
# Who is unhappy.
[segments.unhappy]
description = "Unhappy with tuners."
parameters = { below = -0.3 }
where = { all = [
  { reviews = "polarity", aspect = "tuners", below = "$below" },
  { events = "purchase", category = "Guitars", last_days = 90 },
] }
"""
YAML = """
segments:
  unhappy:
    parameters: {below: -0.3}
    where:
      all:
        - events: [purchase]
          last_days: 90.0
          category: [Guitars]
          at_least: 1
        - {below: $below, aspect: tuners, reviews: polarity}   # in another order
"""


def _definitions(*texts: str, source: str = "own.toml") -> Definitions:
    return Definitions([one for text in texts for one in parse_segments(text, source=source)])


def _version(text: str, name: str = "unhappy", **values: Any) -> str:
    return _definitions(text).definition(name, values).version


def test_the_version_is_of_what_is_asked_and_not_of_how_it_is_written() -> None:
    of_yaml = Definitions(parse_segments(YAML, source="own.yaml")).definition("unhappy").version

    assert re.fullmatch("[0-9a-f]{64}", of_yaml)
    assert _version(TOML) == of_yaml
    assert _version(TOML.replace("Unhappy with", "Angry at")) == of_yaml
    assert _version(TOML, below=-0.3) == of_yaml
    assert _version(TOML, below=-0.4) != of_yaml
    assert _version(TOML.replace("90", "91")) != of_yaml
    assert _version(TOML.replace("all =", "any =")) != of_yaml


def _asked(where: str, more: str = "") -> str:
    return _version(f"[segments.unhappy]\n{more}\nwhere = {where}")


@pytest.mark.parametrize(
    "written",
    [
        ('contacts = "count", channel = ["a", "b"]', 'contacts = "count", channel = ["b", "a"]'),
        ('contacts = "count", segment = ["a", "b"]', 'contacts = "count", segment = ["b", "a"]'),
        ('profile = "n", equals = 1', 'profile = "n", equals = 1.0'),
        ('profile = "n", in = [1, 2]', 'profile = "n", in = [2.0, 1.0, 1]'),
        ('profile = "n", above = 1, below = 3', 'profile = "n", below = 3.0, above = 1.0'),
        ('events = ["view", "view"]', 'events = "view"'),
        ('events = "view", last_days = 30', 'events = "view", last_days = 30.0, at_least = 1'),
        ('profile = "t", above = 2026-01-01', 'profile = "t", above = 2026-01-01T01:00:00+01:00'),
        ('profile = "t", equals = 2026-01-01', 'profile = "t", equals = 2026-01-01T00:00:00'),
        ('lookalike = ["a", "b"], top = 2', 'lookalike = ["b", "a", "a"], top = 2'),
        (
            'rank = { profile = "n" }, top_percent = 9',
            'rank = { profile = "n" }, top_percent = 9.0',
        ),
        ('all = [{ user = "country", equals = "DE" }]', 'user = "country", equals = "DE"'),
        (
            'all = [{ all = [{ events = "view" }, { events = "cart" }] }, { events = "return" }]',
            'all = [{ events = "return" }, { events = "cart" }, { events = "view" }]',
        ),
    ],
)
def test_what_means_the_same_has_one_version(written: tuple[str, str]) -> None:
    first, second = written

    assert _asked(f"{{ {first} }}") == _asked(f"{{ {second} }}")


def test_what_means_something_else_has_another_version() -> None:
    written = [
        'profile = "n", equals = 1',
        'profile = "n", equals = true',
        'profile = "n", equals = "1"',
        'profile = "n", equals = 1.5',
        'profile = "n", at_least = 1',
        'profile = "n", above = 1',
        'profile = "n", above = 2026-01-01',
        'profile = "n", equals = 2026-01-01T00:00:00Z',
        'profile = "n", equals = "2026-01-01T00:00:00+00:00"',
        'profile = "n", equals = "2026-01-01T00:00:00Z"',
        'profile = "n", between = [1, 2]',
        'profile = "n", in = [1, 2]',
        'profile = "n", in = ["1", "2"]',
        'any = [{ profile = "a", above = 1 }, { profile = "b", above = 1 }]',
        'all = [{ profile = "a", above = 1 }, { profile = "b", above = 1 }]',
        'not = { all = [{ profile = "a", above = 1 }, { profile = "b", above = 1 }] }',
        'sequence = [{ events = "view" }, { events = "cart" }]',
        'sequence = [{ events = "cart" }, { events = "view" }]',
        'contacts = "count", channel = ["email", "sms"]',
        'contacts = "count", channel = ["email"]',
        'contacts = "count", segment = ["email"]',
    ]

    versions = {_asked(f"{{ {one} }}") for one in written}

    assert len(versions) == len(written)


def test_a_default_and_the_same_value_set_have_one_version() -> None:
    text = '[segments.unhappy]\nparameters = { x = 1 }\nwhere = { profile = "n", equals = "$x" }'

    assert _version(text) == _version(text, x="1") == _version(text, x="1.0") == _version(text, x=1)
    assert _version(text, x="1.5") != _version(text)
    asked = _definitions(text).definition("unhappy", {"x": "-9007199254740993"}).parameters
    assert asked == {"x": -9007199254740993}


def test_a_number_of_users_can_be_set() -> None:
    shipped = Definitions(library())

    found = shipped.definition("likely-satisfied-with", {"item": "i1", "top": "100"})

    assert found.parameters["top"] == 100
    assert "the 100 likeliest" in found.condition.says()
    with pytest.raises(SegmentError, match=r"top = 1.5: Input should be a valid integer"):
        shipped.definition("likely-satisfied-with", {"item": "i1", "top": "1.5"})


CHILD = """
[segments.child]
extends = "unhappy"
where = { outcome = "churn", above = 0.6 }
"""


def test_a_segment_asks_all_that_it_extends_asks() -> None:
    known = _definitions(TOML, CHILD)
    child, parent = known.definition("child"), known.definition("unhappy")

    assert len(child.condition.told()["all"]) == 3
    assert child.version != parent.version
    assert child.parameters == {"below": -0.3}
    # A change of the parent is one of the child.
    changed = _definitions(TOML.replace("90", "30"), CHILD).definition("child")
    assert changed.version != child.version
    told = known.definition("child", {"below": "-0.9"})
    assert "-0.9" in told.condition.says()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('extends = "a"\nwhere = { profile = "x", above = 1 }', "depend on themselves: a -> a"),
        ('where = { not = { segment = "a" } }', "depend on themselves: a -> a"),
        ('where = { segment = "b" }', "depend on themselves: a -> b -> a"),
        ('extends = "c"\nwhere = { profile = "x", above = 1 }', "no segment c; there are: a, b"),
        ('where = { segment = "unhapy" }', r"where: there is no segment unhapy"),
    ],
)
def test_circles_and_unknown_segments_are_named(text: str, told: str) -> None:
    other = '[segments.b]\nwhere = { segment = "a" }'

    with pytest.raises(SegmentError, match=re.escape(told)):
        _definitions(f"[segments.a]\n{text}", other).definition("a")


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ('{ profil = "x", above = 1 }', r": a condition has one of .* did you mean profile\?"),
        ('{ profile = "x" }', r": no comparison: say one of above, .*, in, contains, is_null"),
        ('{ profile = "x", abov = 1 }', r"unknown key abov; allowed: .* did you mean above\?"),
        ('{ profile = "x", above = "1" }', r"above = '1': wants a number or a time"),
        ('{ profile = "x", above = true }', r"above = True: wants a number"),
        ('{ profile = "x", above = 1, at_least = 2 }', "above and at_least do not go together"),
        ('{ profile = "x", equals = 1, below = 2 }', "below and equals do not go together"),
        ('{ all = [{ profile = "x", above = 1 }, 3] }', r"all\[1\]: a condition is a table"),
        ("{ all = [] }", "all wants a list of at least one condition"),
        ('{ not = { any = [{ event = "view" }] } }', r"not.any\[0\]: .* mean events\?"),
        ('{ events = "purchse" }', r"'purchse' is none of view, .* did you mean purchase\?"),
        ('{ events = "view", last_days = -1 }', "last_days = -1: .*greater than 0"),
        ('{ events = "view", last_days = 1, since = 2026-01-01 }', "both say where to begin"),
        ('{ events = "view", user = "country" }', "user and events are conditions of their own"),
        (
            '{ outcome = "churning", above = 1 }',
            r"none of purchase, .* mean churn\?",
        ),
        ('{ outcome = "churn", category = "x", above = 1 }', "category goes with outcome = 'satis"),
        ('{ user = "email", equals = "a" }', "user = 'email' is none of country, language"),
        ('{ reviews = "emotion", above = 0 }', "needs emotion = NAME"),
        ('{ reviews = "emotion", emotion = "angr", above = 0 }', r"did you mean anger\?"),
        ('{ reviews = "stars", aspect = "x", above = 0 }', "aspect goes with reviews = 'polarity'"),
        ('{ rank = { profile = "x" }, top = 1, bottom = 1 }', "rank needs one of top, bottom"),
        ('{ rank = { profile = "x", above = 1 }, top = 1 }', "unknown key above"),
        ("{ rank = { all = [] }, top = 1 }", "wants a value: a table with one of profile"),
        ('{ audience = "i", top = 0 }', "top = 0: .*greater than or equal to 1"),
        ('{ profile = "x", above = "$y" }', "there is no parameter y"),
        ('{ segment = "a", above = 1 }', "unknown key above beside segment"),
        ('{ rank = { profile = "x" }, top = 1099511627776 }', "less than or equal to 4294967295"),
        ('{ profile = "x", above = nan }', "above = nan: unknown values are asked for by is_null"),
        ('{ profile = "x", in = [1, -inf] }', "in = -inf"),
        ('{ profile = "x", between = [0, inf] }', "between = inf"),
        ('{ profile = "x", between = [5, 1] }', "the lower bound 5 comes first"),
        ('{ profile = "x", above = 5, below = 1 }', "no value is > 5 and < 1"),
        ('{ profile = "x", above = 5, at_most = 5 }', "no value is > 5 and <= 5"),
        ('{ profile = "x", between = [1, 2026-01-01] }', "both are numbers, or both times"),
        ("{ contacts = 3 }", "contacts = 3 is none of count, days_since_last"),
    ],
)
def test_mistakes_are_named_with_their_place_and_what_is_near(where: str, told: str) -> None:
    with pytest.raises(SegmentError, match="^own.toml: segment a: where.*" + told):
        _definitions(f"[segments.a]\nwhere = {where}").definition("a")


@pytest.mark.parametrize(
    ("source", "text", "told"),
    [
        ("a.toml", "[segments", "a.toml is no TOML file"),
        ("a.yaml", "segments: [", "a.yaml is no YAML file"),
        ("a.yaml", "segments: {a: &x {where: 1}, b: *x}", "anchors and aliases are not read"),
        ("a.yaml", "segments:\n  a: {where: 1}\n  a: {where: 2}", "the key a is given twice"),
        ("a.yaml", "- 1", "has no table segments"),
        ("a.toml", "[segment.a]", "has no table segments"),
        ("a.toml", "x = 1\n[segments.a]", "unknown key x; allowed: segments"),
        ("a.toml", "[segments.a]\nextend = 'b'\nwhere = {}", r"mean extends\?"),
        ("a.toml", "[segments.a]\n", "where is missing"),
        ("a.toml", "[segments.a]\nparameters = { x = [1] }\nwhere = {}", "parameters.x: wants a"),
        ("a.yaml", "segments:\n  1: {where: 1}", "1 is no name of a segment"),
        *(
            ("a.toml", f"[segments]\n'{name}' = {{}}", "is no name of a segment: 1 to 48 of a-z")
            for name in (" ", "", "../x", "a/b", ".", "a.b", "-a", "Ab", "é", "[/dim]", "a" * 49)
        ),
    ],
)
def test_files_that_cannot_be_read(source: str, text: str, told: str) -> None:
    with pytest.raises(SegmentError, match=told):
        _definitions(text, source=source)


def test_names_are_unique_among_all_files() -> None:
    with pytest.raises(SegmentError, match=r"segment unhappy: there is one of this name in own"):
        _definitions(TOML, TOML)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"belo": 1}, r"no parameter belo; .* mean below\?"),
        ({"below": "low"}, "wants a number"),
        ({"below": "nan"}, "wants a number, not 'nan'"),
        ({"below": "-inf"}, "wants a number, not '-inf'"),
    ],
)
def test_wrong_values_of_parameters(values: dict[str, Any], told: str) -> None:
    with pytest.raises(SegmentError, match=told):
        _definitions(TOML).definition("unhappy", values)


def test_conditions_without_end_are_refused() -> None:
    deep = "{ not = " * 60 + '{ profile = "x", above = 1 }' + " }" * 60

    with pytest.raises(SegmentError, match="50 in one another"):
        _definitions(f"[segments.a]\nwhere = {deep}").definition("a")


def test_what_grows_by_references_is_refused() -> None:
    """Each segment asks the next one twice: 2**40 conditions in 41 lines."""
    doubling = []
    for n in range(40):
        after = f'{{ segment = "s{n + 1}" }}'
        doubling.append(f"[segments.s{n}]\nwhere = {{ all = [{after}, {after}] }}\n")
    text = "".join(doubling) + '[segments.s40]\nwhere = { profile = "x", above = 1 }'

    with pytest.raises(SegmentError, match="more than 1000 conditions, or 50 in one another, with"):
        _definitions(text).definition("s0")
    assert _definitions(text).definition("s35").version


@pytest.mark.parametrize("link", ["extends", "segment", "both"])
def test_chains_without_end_are_refused(link: str) -> None:
    own = 'profile = "x", above = 1'
    lines = []
    for n in range(900):
        extends = "" if link == "segment" else f'extends = "s{n + 1}"\n'
        where = own if link == "extends" else f'not = {{ segment = "s{n + 1}" }}'
        lines.append(f"[segments.s{n}]\n{extends}where = {{ {where} }}\n")
    known = _definitions("".join(lines) + f"[segments.s900]\nwhere = {{ {own} }}")

    with pytest.raises(SegmentError, match=r"more than (50|1000)"):
        known.definition("s0")
    assert known.definition("s895").version


def test_every_segment_that_ships_can_be_read() -> None:
    shipped = Definitions(library())

    for name in shipped.names():
        missing = {k: "i1" for k, v in shipped.parameters(name).items() if v is None}
        definition = shipped.definition(name, missing)
        assert definition.description.endswith(".")
        assert tables_read(definition.condition)
    with pytest.raises(SegmentError, match="the parameter item has no value: say --set item"):
        shipped.definition("likely-satisfied-with")
