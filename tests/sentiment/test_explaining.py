"""Explanations of a tiny model: complete, exact about words, the same however they are computed."""

from typing import cast

import pytest
import tiny_model as tiny
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from sentiment.characters import character_tokenizer
from sentiment.cleaning import clean_text
from sentiment.explaining import Explanation, explain
from sentiment.model_file import TrainedModel
from sentiment.model_reader import ModelReader
from sentiment.reader_config import ReaderConfig

TEXT = "I love this guitar, but it doesn't stay in tune."


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    model = tiny.tiny_model(seed=3)
    with torch.no_grad():
        # As drawn, the head is so weak that every text would be near neutral.
        model.stars[-1].weight.mul_(60)  # type: ignore[operator, union-attr]
        model.star_temperature.fill_(1.3)
    return TrainedModel(model=model.eval(), tokenizer=tiny.tokenizer(), base=None)


def words_of(explanation: Explanation) -> list[str]:
    return [explanation.text[word.start : word.end] for word in explanation.words]


@pytest.mark.parametrize("text", [TEXT, "broke", "音质很好，但是 USB 线太短", "Not bad! " * 20])
def test_attributions_sum_to_the_difference_from_the_baseline(
    trained: TrainedModel, text: str
) -> None:
    found = explain(trained, text.strip(), steps=64)
    total = sum(word.attribution for word in found.words)
    assert abs(found.polarity - found.baseline_polarity) > 0.01
    assert total == pytest.approx(found.polarity - found.baseline_polarity, abs=2e-3)
    assert found.completeness_gap == pytest.approx(
        total - (found.polarity - found.baseline_polarity), abs=1e-9
    )


def test_more_steps_close_the_gap(trained: TrainedModel) -> None:
    few, many = (abs(explain(trained, TEXT, steps=n).completeness_gap) for n in (1, 64))
    assert many < few / 4


def test_attributions_are_those_of_the_formula(trained: TrainedModel) -> None:
    """Gradients along the path, averaged by hand at the middle of 400 equal steps."""
    model, steps = trained.model, 400
    ids_1L = torch.tensor([trained.tokenizer.encode(TEXT).ids])
    baseline_1L = torch.zeros_like(ids_1L)
    baseline_1L[0, 0], baseline_1L[0, -1] = ids_1L[0, 0], ids_1L[0, -1]
    table = cast(nn.Embedding, model.encoder.get_submodule("embeddings.word_embeddings"))
    with torch.no_grad():
        start_1LD, end_1LD = table(baseline_1L), table(ids_1L)
    share_B = (torch.arange(steps) + 0.5) / steps
    points_BLD = start_1LD + share_B[:, None, None] * (end_1LD - start_1LD)
    points_BLD.requires_grad_()
    hook = table.register_forward_hook(lambda module, inputs, output: points_BLD)
    try:
        ids_BL = ids_1L.expand(steps, -1)
        summary_BX = model.encode(ids_BL, torch.ones_like(ids_BL)).summary_BX
    finally:
        hook.remove()
    stars_B5 = (model.stars(summary_BX) / model.star_temperature).softmax(1)
    polarity_B = stars_B5 @ torch.tensor([-1.0, -1.0, 0.0, 1.0, 1.0])
    (gradient_BLD,) = torch.autograd.grad(polarity_B.sum(), points_BLD)
    wanted_L: Tensor = (gradient_BLD.mean(0) * (end_1LD - start_1LD)[0]).sum(1)
    found = explain(trained, TEXT, steps=64)
    # don ' t is one word here, and three tokens there.
    by_word = [*wanted_L[1:8].tolist(), sum(wanted_L[8:11].tolist()), *wanted_L[11:-1].tolist()]
    assert [word.attribution for word in found.words] == pytest.approx(by_word, abs=1e-3)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            TEXT,
            ["I", "love", "this", "guitar", ",", "but", "it", "doesn't", "stay", "in", "tune", "."],
        ),
        ("unplayable café’s USB3", ["unplayable", "café’s", "USB3"]),
        ("'quoted' (rock-n-roll)", ["'", "quoted", "'", "(", "rock", "-", "n", "-", "roll", ")"]),
        ("音质很好 USB线", ["音", "质", "很", "好", "USB", "线"]),
    ],
)
def test_offsets_are_those_of_words(trained: TrainedModel, text: str, wanted: list[str]) -> None:
    assert words_of(explain(trained, text, steps=2)) == wanted


def test_characters_of_a_latin_word_are_one_word(trained: TrainedModel) -> None:
    text = "这个 usb3 线２米，iPhone能用，５㎏"
    own = TrainedModel(
        model=trained.model, tokenizer=character_tokenizer([text], min_count=1), base=None
    )
    wanted = ["这", "个", "usb3", "线", "２", "米", "，", "iPhone", "能", "用", "，", "５", "㎏"]
    assert words_of(explain(own, text, steps=2)) == wanted


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=60))
def test_words_of_any_text_are_in_order_and_apart(trained: TrainedModel, text: str) -> None:
    found = explain(trained, clean_text(text), steps=1)
    end = 0
    for word in found.words:
        assert end <= word.start < word.end <= len(found.text)
        end = word.end


def test_polarity_is_that_of_a_padded_batch(trained: TrainedModel) -> None:
    texts = [TEXT, "broke", "好", "The strap is strong and the tuner is quick to use. " * 3]
    reader = ModelReader(trained, ReaderConfig(precision="fp32"))
    stars = reader.read([text.strip() for text in texts]).stars
    wanted = stars[:, 3:].sum(1) - stars[:, :2].sum(1)
    found = [explain(trained, text.strip(), steps=2).polarity for text in texts]
    assert found == pytest.approx(wanted.tolist(), abs=1e-5)


@pytest.mark.parametrize("batch_tokens", [1, 40, 100_000])
def test_batches_change_nothing(trained: TrainedModel, batch_tokens: int) -> None:
    wanted = explain(trained, TEXT, steps=12)
    found = explain(trained, TEXT, steps=12, batch_tokens=batch_tokens)
    assert [word.attribution for word in found.words] == pytest.approx(
        [word.attribution for word in wanted.words], abs=1e-5
    )


def test_a_tokenizer_that_pads_and_cuts_changes_nothing(trained: TrainedModel) -> None:
    tokenizer = tiny.tokenizer()
    tokenizer.enable_padding(length=64)
    tokenizer.enable_truncation(6)
    found = explain(
        TrainedModel(model=trained.model, tokenizer=tokenizer, base=None), TEXT, steps=4
    )
    assert found == explain(trained, TEXT, steps=4)


@pytest.mark.parametrize("text", ["", " "])
def test_a_text_without_words_is_neutral(trained: TrainedModel, text: str) -> None:
    found = explain(trained, text)
    assert (found.words, found.polarity, found.completeness_gap) == ((), 0.0, 0.0)
    assert not found.truncated


def test_a_long_text_is_cut_between_words(trained: TrainedModel) -> None:
    text = "extraordinarily unplayable guitars " * 300
    found = explain(trained, text.strip(), steps=2, max_tokens=12)
    read = words_of(found)
    assert found.truncated
    assert set(read) <= {"extraordinarily", "unplayable", "guitars"}
    num_tokens = len(trained.tokenizer.encode(" ".join(read)).ids)
    assert num_tokens <= 12


def test_a_text_longer_than_the_model_reads_is_cut(trained: TrainedModel) -> None:
    found = explain(trained, "good " * 2000, steps=1, max_tokens=10_000)
    assert found.truncated
    assert len(found.words) == 510


def test_a_word_that_fills_all_the_room_is_cut(trained: TrainedModel) -> None:
    found = explain(trained, "xqzvkjwxqzvkjw", steps=2, max_tokens=4)
    assert found.truncated
    ((start, end),) = [(word.start, word.end) for word in found.words]
    assert start == 0
    assert 0 < end < 14


@pytest.mark.parametrize(
    ("options", "message"),
    [({"steps": 0}, "steps must be at least 1, not 0"), ({"max_tokens": 2}, "must be above 2")],
)
def test_options_out_of_range_are_named(
    trained: TrainedModel, options: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        explain(trained, TEXT, **options)  # type: ignore[arg-type]
