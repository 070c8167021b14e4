"""Definitions: what files may say, what they are joined to, and their version."""

import re
from typing import Any

import pytest

from recsys.errors import SegmentError
from recsys.segments.definition import Definitions, library, parse_segments
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
        ("a.toml", "[segments]\n' ' = {}", "no name of a segment"),
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
    [({"belo": 1}, r"no parameter belo; .* mean below\?"), ({"below": "low"}, "wants a number")],
)
def test_wrong_values_of_parameters(values: dict[str, Any], told: str) -> None:
    with pytest.raises(SegmentError, match=told):
        _definitions(TOML).definition("unhappy", values)


def test_conditions_without_end_are_refused() -> None:
    deep = "{ not = " * 60 + '{ profile = "x", above = 1 }' + " }" * 60

    with pytest.raises(SegmentError, match="50 in one another"):
        _definitions(f"[segments.a]\nwhere = {deep}").definition("a")


def test_every_segment_that_ships_can_be_read() -> None:
    shipped = Definitions(library())

    for name in shipped.names():
        missing = {k: "i1" for k, v in shipped.parameters(name).items() if v is None}
        definition = shipped.definition(name, missing)
        assert definition.description.endswith(".")
        assert tables_read(definition.condition)
    with pytest.raises(SegmentError, match="the parameter item has no value: say --set item"):
        shipped.definition("likely-satisfied-with")
