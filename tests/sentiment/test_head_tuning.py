import numpy as np
import pytest
import torch
from tiny_model import EMOTIONS, tiny_model, tokenizer

from sentiment.batching import padded
from sentiment.finetuning import FineTuning, fine_tune
from sentiment.head_tuning import (
    fit_emotions,
    fit_span_polarity,
    fitted_projection,
    run_spans,
    run_texts,
    set_need_threshold,
    set_star_temperature,
)
from sentiment.tasks import AspectTask, EmotionTask, NeedTask, Span, aspect_task, tokenise
from sentiment.training import FitConfig

TOKENIZER = tokenizer()
WORDS = ("good", "bad", "fine", "strap", "book", "red", "big")
TEXTS = [f"{a} {b} {c}" for a in WORDS for b in WORDS for c in WORDS[:3]]
FIT = FitConfig(learning_rate=2e-2, batch_size=16, max_epochs=12)


def spans_of(texts: list[str]) -> AspectTask:
    """The first word of each text, of class 2 where it is `good` and 0 where not."""
    terms = [
        [Span(start=0, end=len(t.split()[0]), polarity=2 * t.startswith("good"))] for t in texts
    ]
    return aspect_task("spans", TOKENIZER, texts, terms)


def felt(texts: list[str]) -> EmotionTask:
    labels = np.array([[t.startswith("bad"), t.startswith("good"), False] for t in texts])
    labels[:, 2] = ~labels.any(1)
    return EmotionTask(name="e", ids=tokenise(TOKENIZER, texts, 16), labels=labels)


def test_texts_are_run_in_order() -> None:
    model, ids = (
        tiny_model().eval(),
        tokenise(TOKENIZER, ["a", "a longer text of words", "b c"], 16),
    )
    found = run_texts(model, ids, "cpu")
    for row in range(3):
        with torch.no_grad():
            alone = model.encode(*padded([ids[row]], "cpu"))
        torch.testing.assert_close(found.summary[row], alone.summary_BX[0], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(found.pooled[row], alone.pooled_BPD[0], atol=1e-5, rtol=1e-4)
    with pytest.raises(ValueError, match="no texts"):
        run_texts(model, [], "cpu")


def test_spans_are_run_in_order_and_texts_without_any_are_passed_over() -> None:
    model = tiny_model().eval()
    texts = ["good strap", "nothing here at all", "bad"]
    terms = [[Span(start=5, end=10, polarity=1), Span(start=0, end=4, polarity=2)], [],
             [Span(start=0, end=3, polarity=0)]]  # fmt: skip
    read, classes = run_spans(model, aspect_task("s", TOKENIZER, texts, terms), "cpu")
    assert classes.tolist() == [1, 2, 0]
    with torch.no_grad():
        alone = model.encode(*padded(tokenise(TOKENIZER, texts[:1], 16), "cpu"))
        wanted = model.spans(alone, *(torch.tensor([x]) for x in (0, 2, 3)))
    torch.testing.assert_close(read[0], wanted[0], atol=1e-5, rtol=1e-4)


def test_the_projection_is_found_where_there_is_one() -> None:
    model = tiny_model().eval()
    pooled = run_texts(model, tokenise(TOKENIZER, TEXTS, 16), "cpu").pooled
    truth = torch.randn(48, 16, generator=torch.Generator().manual_seed(0))
    wanted = pooled.flatten(1) @ truth
    start = model.embedding.weight.detach()
    found = fitted_projection(start, pooled, wanted, ridge=1e-9)
    torch.testing.assert_close(pooled.flatten(1) @ found.T, wanted, atol=1e-2, rtol=1e-2)
    scaled = 0.3 * pooled.flatten(1) @ start.T + 1e-3 * wanted
    kept = fitted_projection(start, pooled, scaled, ridge=1e9)
    torch.testing.assert_close(kept, kept[0].max() * start, atol=1e-4, rtol=1e-3)


def test_emotions_are_learned_and_thresholds_set() -> None:
    model = tiny_model().eval()
    figures = fit_emotions(model, felt(TEXTS[::2]), felt(TEXTS[1::2]), FIT, device="cpu")
    assert max(figures.values()) > figures["before"] + 0.1
    assert model.emotion_thresholds.shape == (len(EMOTIONS),)
    assert ((model.emotion_thresholds > 0) & (model.emotion_thresholds < 1)).all()


def test_polarity_of_spans_is_learned_and_its_temperature_set() -> None:
    model = tiny_model().eval()
    figures = fit_span_polarity(
        model, [spans_of(TEXTS[::2])], spans_of(TEXTS[1::2]), FIT, device="cpu"
    )
    assert figures["after"] > 0.95 > figures["before"]
    assert model.polarity_temperature.item() == pytest.approx(figures["temperature"])


def test_the_threshold_of_needs_adds_to_the_rules() -> None:
    model = tiny_model().eval()
    texts = spans_of(TEXTS)
    needs = NeedTask(name="needs", ids=texts.ids, spans=texts.spans)
    config = FineTuning(epochs=40, learning_rate=5e-3, head_learning_rate=2e-2, distilled_share=0)
    fine_tune(model, [needs], config, device="cpu")
    by_rules = np.array([text.startswith("good strap") for text in TEXTS])
    figures = set_need_threshold(model, texts, by_rules, device="cpu")
    assert figures["f1"] > 0.95 > figures["f1_of_rules"] > 0
    assert model.need_threshold.item() == pytest.approx(figures["threshold"])


def test_the_star_temperature_is_kept_in_the_model() -> None:
    model = tiny_model().eval()
    allowed = np.eye(5, dtype=bool)[np.arange(len(TEXTS)) % 5]
    found = set_star_temperature(model, tokenise(TOKENIZER, TEXTS, 16), allowed, device="cpu")
    assert model.star_temperature.item() == pytest.approx(found)
