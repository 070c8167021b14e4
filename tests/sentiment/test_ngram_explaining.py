"""Explanations of the n-gram model: complete, and exact about characters."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sentiment.cleaning import clean_text
from sentiment.ngram_explaining import explain_ngrams
from sentiment.ngram_model import MAX_CHARACTERS, NgramModel, ngram_buckets


def drawn_model() -> NgramModel:
    torch.manual_seed(2)
    model = NgramModel(num_buckets=512, dim=8)
    with torch.no_grad():
        model.grams.weight.mul_(40)
        model.temperature.fill_(1.5)
    return model.eval()


MODEL = drawn_model()


@pytest.mark.parametrize("text", ["好", "音质很好，但是 USB 线太短", "İyi ve güzel", "好" * 1500])
def test_attributions_sum_to_the_difference_from_no_text(text: str) -> None:
    found = explain_ngrams(MODEL, text)
    total = sum(word.attribution for word in found.words)
    difference = found.polarity - found.baseline_polarity
    assert abs(difference) > 0.001
    assert total == pytest.approx(difference, abs=1e-3)
    assert found.completeness_gap == pytest.approx(total - difference, abs=1e-9)


def test_polarity_is_that_of_the_model() -> None:
    texts = ["音质很好", "线 USB 太短", "好" * 1500]
    _, classes = MODEL.embed_and_classify(texts)
    found = [explain_ngrams(MODEL, text, steps=1).polarity for text in texts]
    assert found == pytest.approx((classes[:, 2] - classes[:, 0]).tolist(), abs=1e-6)


def test_characters_stay_single_and_latin_words_whole() -> None:
    text = "这个 usb3 线，iPhone能用"
    words = [text[word.start : word.end] for word in explain_ngrams(MODEL, text).words]
    assert words == ["这", "个", "usb3", "线", "，", "iPhone", "能", "用"]


def test_an_ngram_is_shared_by_its_characters() -> None:
    """Only the n-gram of both characters counts: each gets one half."""
    model = drawn_model()
    with torch.no_grad():
        one, other, both = ngram_buckets("好用", model.num_buckets)
        assert len({one, other, both}) == 3
        model.grams.weight[[one, other]] = 0
    found = explain_ngrams(model, "好用")
    first, second = (word.attribution for word in found.words)
    assert first == pytest.approx(second)
    assert abs(first) > 0.001


def test_a_text_without_characters_is_neutral() -> None:
    found = explain_ngrams(MODEL, "")
    assert (found.words, found.polarity, found.truncated) == ((), 0.0, False)


def test_a_long_text_is_cut() -> None:
    found = explain_ngrams(MODEL, "好 用" * MAX_CHARACTERS, steps=2)
    assert found.truncated
    assert len(found.words) == MAX_CHARACTERS


@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=60))
def test_words_of_any_text_are_in_order_and_apart(text: str) -> None:
    found = explain_ngrams(MODEL, clean_text(text), steps=1)
    end = 0
    for word in found.words:
        assert end <= word.start < word.end <= len(found.text)
        end = word.end


def test_too_few_steps_are_named() -> None:
    with pytest.raises(ValueError, match="steps must be at least 1, not 0"):
        explain_ngrams(MODEL, "好", steps=0)
