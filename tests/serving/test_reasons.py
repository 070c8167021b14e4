"""Which group of features a reason names, and that its sentence is true."""

import math
from typing import Any

import numpy as np
import pytest

from recsys.contributions import GROUPS
from serving.reasons import Told, reason_of_group

NOTHING = {
    "user:history_length": 0.0,
    "pair:text_max": 0.0,
    "pair:category_share": 0.0,
    "pair:brand_share": 0.0,
    "pair:felt_brand": 0.0,
    "pair:price_gap": 0.0,
    "pair:browse_strength": 0.0,
    "item:price_cents": 1.5,
    "item:stars_smoothed": 0.0,
    "item:polarity_smoothed": 0.0,
    "score:item_to_item": 0.0,
    "score:browsed": 0.0,
    "log_rank:popular_recent": math.log1p(400),
}


def told(because: str | None = None, praised: str | None = None, **says: float) -> Told:
    given = NOTHING | {name.replace("__", ":"): value for name, value in says.items()}
    return Told(says=given, because=because, felt=0.5, praised=praised)


def most(group: str) -> dict[str, float]:
    return dict.fromkeys(GROUPS, 0.1) | {group: 2.0}


@pytest.mark.parametrize(
    ("group", "what", "sentence"),
    [
        ("bought", {"because": "Travel guitar"}, "Because you liked Travel guitar"),
        ("bought", {"score__item_to_item": 0.2}, "Chosen by people who bought what you bought"),
        ("taste", {"user__history_length": 1.0}, "Matches your taste"),
        ("text", {"pair__text_max": 0.6}, "Similar in description and reviews to what you bought"),
        ("category", {"pair__category_share": 0.3}, "From a category you buy in"),
        ("brand", {"pair__brand_share": 0.3}, "From a brand you buy"),
        (
            "brand",
            {"pair__brand_share": 0.3, "pair__felt_brand": 0.6},
            "From a brand you like",
        ),
        ("price", {"user__history_length": 1.0, "pair__price_gap": -0.05}, "Priced like"),
        ("browsing", {"pair__browse_strength": 1.0}, "You looked at it"),
        ("browsing", {"score__browsed": 0.4}, "Like what you looked at"),
        ("popularity", {"log_rank__popular_recent": math.log1p(3)}, "Popular right now"),
        ("satisfaction", {"item__stars_smoothed": 0.4}, "Buyers are happy with it"),
        (
            "satisfaction",
            {"item__stars_smoothed": 0.4, "praised": "sound"},
            "Buyers praise its sound",
        ),
    ],
)
def test_the_group_that_adds_most_is_named(group: str, what: dict[str, Any], sentence: str) -> None:
    found = reason_of_group(most(group), told(**what))
    assert found is not None
    assert found[0] == group
    assert found[1].startswith(sentence)


@pytest.mark.parametrize("group", GROUPS)
def test_of_a_group_without_a_true_sentence_nothing_is_said(group: str) -> None:
    assert reason_of_group(most(group), told()) is None


@pytest.mark.parametrize(
    ("group", "what"),
    [
        ("price", {"user__history_length": 1.0, "pair__price_gap": 0.2}),
        ("satisfaction", {"item__stars_smoothed": 0.4, "item__polarity_smoothed": -0.2}),
        ("satisfaction", {"item__stars_smoothed": -0.4, "praised": "sound"}),
        ("popularity", {"log_rank__popular_recent": math.log1p(60)}),
    ],
)
def test_what_is_not_true_is_not_said(group: str, what: dict[str, Any]) -> None:
    """The next group is named in its place."""
    found = reason_of_group(most(group) | {"text": 1.0}, told(pair__text_max=0.5, **what))
    assert found is not None
    assert found[0] == "text"


def test_a_group_that_speaks_against_an_item_is_no_reason_for_it() -> None:
    groups = dict.fromkeys(GROUPS, -0.1)
    assert reason_of_group(groups, told(pair__text_max=0.5, because="Travel guitar")) is None
    assert reason_of_group(groups | {"text": np.float64(0.2)}, told(pair__text_max=0.5)) == (
        "text",
        "Similar in description and reviews to what you bought",
    )
