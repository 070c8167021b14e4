import numpy as np
import pytest
import torch
from tiny_model import tiny_model, tokenizer

from sentiment.batching import padded
from sentiment.finetuning import FineTuning, fine_tune
from sentiment.tasks import AspectTask, Span, aspect_task
from sentiment.teaching import TaughtTask, teach

TEXTS = ["Good sound, bad cable.", "Unputdownable", "I wish it were longer, but it works."]
SPANS = [
    [Span(start=0, end=10, polarity=0), Span(start=12, end=21, polarity=0)],
    [],
    [Span(start=0, end=21, polarity=0)],
]


def clauses() -> AspectTask:
    return aspect_task("clauses", tokenizer(), TEXTS, SPANS)


def test_the_mean_of_the_teachers_is_taught() -> None:
    task = clauses()
    alone = [teach([tiny_model(seed)], task, device="cpu") for seed in (1, 2)]
    both = teach([tiny_model(1), tiny_model(2)], task, device="cpu")
    assert both.ids == task.ids
    assert both.spans == [[span[:2] for span in of_text] for of_text in task.spans]
    for name in ("stars", "emotions"):
        wanted = np.mean([getattr(one, name) for one in alone], axis=0)
        np.testing.assert_allclose(getattr(both, name), wanted, atol=1e-6)
    for name in ("tags", "polarity"):
        for row in range(len(TEXTS)):
            wanted = np.mean([getattr(one, name)[row] for one in alone], axis=0)
            np.testing.assert_allclose(getattr(both, name)[row], wanted, atol=1e-6)


def test_what_a_text_is_said_to_be_does_not_hang_on_its_batch() -> None:
    task, teacher = clauses(), tiny_model(1).eval()
    taught = teach([teacher], task, device="cpu")
    with torch.no_grad():
        for row, ids in enumerate(task.ids):
            encoded = teacher.encode(*padded([ids], "cpu"))
            stars = teacher.stars(encoded.summary_BX).softmax(1)[0]
            np.testing.assert_allclose(taught.stars[row], stars, atol=1e-5)
            tags = teacher.tags(encoded.tokens_BLD).softmax(2)[0]
            np.testing.assert_allclose(taught.tags[row], tags, atol=1e-5)


def test_the_teacher_itself_has_the_least_loss() -> None:
    teacher, other = tiny_model(1).eval(), tiny_model(2).eval()
    taught = teach([teacher], clauses(), device="cpu")
    rows = np.arange(len(TEXTS))

    def loss_of(model) -> float:
        with torch.no_grad():
            ids, mask = padded([taught.ids[row] for row in rows], "cpu")
            return taught.loss(model, model.encode(ids, mask), rows).item()

    assert loss_of(teacher) == pytest.approx(_entropy(taught), rel=1e-4)
    assert loss_of(other) > loss_of(teacher)


def _entropy(taught: TaughtTask) -> float:
    def of(p: np.ndarray) -> float:
        return float(-(p * np.log(p)).sum(-1).mean())

    emotions = taught.emotions
    of_emotions = -(emotions * np.log(emotions) + (1 - emotions) * np.log(1 - emotions))
    tags = np.concatenate([tags[read] for tags, read in zip(taught.tags, taught.read, strict=True)])
    return (
        of(taught.stars)
        + taught.emotion_weight * float(of_emotions.sum(1).mean())
        + of(tags)
        + of(np.concatenate(taught.polarity))
    )


def test_a_model_comes_to_say_what_its_teachers_say() -> None:
    taught = teach([tiny_model(1), tiny_model(2)], clauses(), device="cpu")
    model = tiny_model(3)
    distance = [_distance(model, taught)]
    config = FineTuning(epochs=60, learning_rate=5e-3, head_learning_rate=2e-2, distilled_share=0)
    fine_tune(model, [taught], config, device="cpu")
    distance.append(_distance(model, taught))
    assert distance[1] < 0.2 * distance[0]


def _distance(model, taught: TaughtTask) -> float:
    found = teach([model], clauses(), device="cpu")
    return float(np.abs(found.stars - taught.stars).mean())


def test_texts_without_a_span_are_taught_too() -> None:
    task = aspect_task("bare", tokenizer(), ["ok"], [[]])
    taught = teach([tiny_model(1)], task, device="cpu")
    encoded = tiny_model(2).encode(*padded(taught.ids, "cpu"))
    assert torch.isfinite(taught.loss(tiny_model(2), encoded, np.array([0])))


def test_there_has_to_be_a_teacher() -> None:
    with pytest.raises(ValueError, match="no teachers"):
        teach([], clauses(), device="cpu")
