from pathlib import Path

import pytest

from sentiment.aspects import GENERAL, AspectList
from sentiment.errors import AspectListError

SHIPPED = AspectList.load()


@pytest.mark.parametrize(
    ("term", "kind", "aspect"),
    [
        ("battery", "electronics", "battery"),
        ("The Battery Life", "electronics", "battery"),
        ("charging port", "electronics", "battery"),
        ("Speakers", "electronics", "sound"),
        ("tone", "instruments", "sound"),
        ("tuning pegs", "instruments", "tuning"),
        ("sleeves", "clothing", "fit"),
        ("size", "clothing", "fit"),
        ("size", "electronics", "size"),
        ("prices", GENERAL, "price"),
        ("customer service", "food", "service"),
        ("value for the money", "home", "price"),
        ("做工", "electronics", "quality"),
        ("屏幕分辨率", "electronics", "display"),
        ("物流速度", GENERAL, "delivery"),
        ("性价比", "food", "price"),
        ("battery", "a kind nobody knows", None),
        ("unicorn", GENERAL, None),
        ("", GENERAL, None),
    ],
)
def test_terms_of_the_shipped_list(term: str, kind: str, aspect: str | None) -> None:
    assert SHIPPED.canonical(term, kind) == aspect


@pytest.mark.parametrize(
    ("categories", "kind"),
    [
        (["Musical Instruments", "Guitars"], "instruments"),
        (["Electronics", "Headphones"], "electronics"),
        (["Women's Dresses"], "clothing"),
        (["酒店"], "hotels"),
        (["Something Else"], GENERAL),
        ([], GENERAL),
    ],
)
def test_kinds_of_products(categories: list[str], kind: str) -> None:
    assert SHIPPED.kind_of(categories) == kind


@pytest.mark.parametrize(
    ("sentence", "kind", "aspects"),
    [
        ("Way too expensive.", GENERAL, ["price"]),
        ("It broke in a week", GENERAL, ["durability"]),
        ("runs small and itchy", "clothing", ["fabric", "fit"]),
        ("太贵了，而且很卡", "electronics", ["performance", "price"]),
        ("I bought it in May.", GENERAL, []),
        ("cheapest", GENERAL, []),
    ],
)
def test_what_is_meant_without_a_name(sentence: str, kind: str, aspects: list[str]) -> None:
    assert SHIPPED.implied(sentence, kind) == aspects


def test_every_kind_has_aspects_or_the_general_ones() -> None:
    assert set(SHIPPED.aspects) <= {*SHIPPED.kinds, GENERAL}
    assert all(aspect.words for aspects in SHIPPED.aspects.values() for aspect in aspects)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("kinds = ", "cannot be read"),
        ("[kinds]\n", r"needs \[kinds\] and \[aspects.general.NAME\]"),
        ("[kinds]\n[aspects.general.a]\nen = 'word'", "aspects.general.a.en must be a list"),
        ("[kinds]\n[aspects.general.a]\nde = ['x']", "may have en, zh, implies_en"),
        ("[kinds]\n[aspects.general.a]\n", r"\[aspects.general.a\] has no words"),
        ("[kinds]\n[aspects.general.a]\nen=['a']\n[aspects.toys.b]\nen=['b']", "toys"),
        ("[kinds]\n[aspects.general.a]\nen=['a']\n[more]\n", "nothing else"),
    ],
)
def test_a_list_of_another_form_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "aspects.toml"
    path.write_text(content)
    with pytest.raises(AspectListError, match=message):
        AspectList.load(path)


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(AspectListError, match=r"nowhere.toml cannot be read"):
        AspectList.load(tmp_path / "nowhere.toml")


def test_a_shop_can_bring_its_own(tmp_path: Path) -> None:
    path = tmp_path / "aspects.toml"
    path.write_text(
        "[kinds]\ntea = ['tea']\n[aspects.general.price]\nen = ['price']\n"
        "[aspects.tea.aroma]\nen = ['Aroma']\nzh = ['香气']\nimplies_en = ['fragrant']\n"
    )
    own = AspectList.load(path)
    assert own.canonical("aroma", own.kind_of(["Green Tea"])) == "aroma"
    assert own.canonical("香气很足", "tea") == "aroma"
    assert own.implied("so FRAGRANT", "tea") == ["aroma"]
