import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentiment.augmenting import SYNONYMS_FILE, AugmentConfig, augmented

TEXT = "The strap is great but the seller was not quick and it broke"
CHINESE = "质量很好，但是物流太慢，客服也不理人，不会再买"
MANY = AugmentConfig(copies=40, share=0.2)


@pytest.mark.parametrize("text", [TEXT, CHINESE])
def test_words_that_turn_a_meaning_stay_where_they_count(text: str) -> None:
    copies = [copy for _, copy in augmented([text], MANY)]
    assert len(set(copies)) > 10
    turning = ["but", "not"] if text is TEXT else ["但", "太", "不会"]
    for word in turning:
        assert all(copy.count(word) == text.count(word) for copy in copies), word


def test_copies_know_their_row_and_do_not_depend_on_company() -> None:
    alone = augmented([TEXT], MANY)
    together = augmented([TEXT, CHINESE], MANY)
    assert [copy for row, copy in together if row == 0] == [copy for _, copy in alone]
    assert {row for row, _ in together} == {0, 1}
    assert augmented([TEXT], MANY) == alone
    assert augmented([TEXT], MANY, seed=1) != alone


@given(st.text(max_size=60))
def test_any_text_is_borne(text: str) -> None:
    copies = augmented([text], AugmentConfig(copies=3))
    assert all(row == 0 and copy != text for row, copy in copies)


def test_texts_of_few_words_are_left_alone() -> None:
    assert augmented(["Great strap!", "", "好"], MANY) == []
    assert augmented([TEXT], AugmentConfig(copies=0)) == []


@pytest.mark.parametrize("change", [{"copies": -1}, {"share": 0.0}, {"share": 0.6}])
def test_settings_out_of_range_are_refused(change: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        AugmentConfig(**change)


def test_no_group_of_synonyms_has_a_word_twice() -> None:
    import tomllib

    for groups in tomllib.loads(SYNONYMS_FILE.read_text("utf-8"))["synonyms"].values():
        assert all(len(set(group)) == len(group) > 1 for group in groups)
