import math

import numpy as np
import pytest
import torch

from sentiment.ngram_model import NgramModel
from sentiment.star_head import StarHeadConfig
from sentiment.training import (
    FitConfig,
    fit_ngram_model,
    fit_star_head,
    fit_temperature,
    set_likelihood_loss,
    star_mask,
)

FIT = FitConfig(learning_rate=1e-2, batch_size=32, max_epochs=10, validation_share=0.2)


def test_loss_is_minus_log_of_the_allowed_probability() -> None:
    logits = [[0.0, 1.0, -2.0, 0.5, 3.0], [1.0, 1.0, 0.0, -1.0, 2.0]]
    sets = [(3,), (4, 5)]
    wanted = 0.0
    for row, stars in zip(logits, sets, strict=True):
        total = sum(math.exp(x) for x in row)
        wanted -= math.log(sum(math.exp(row[star - 1]) for star in stars) / total) / len(sets)
    loss = set_likelihood_loss(torch.tensor(logits), torch.from_numpy(star_mask(sets)))
    assert loss.item() == pytest.approx(wanted, abs=1e-6)


def test_a_set_of_all_stars_costs_nothing_and_one_star_is_cross_entropy() -> None:
    logits = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    target = torch.tensor([0, 1, 2, 3, 4, 0])
    one = torch.nn.functional.one_hot(target, 5).bool()
    every = torch.ones(6, 5, dtype=torch.bool)
    assert set_likelihood_loss(logits, every).item() == pytest.approx(0.0, abs=1e-6)
    torch.testing.assert_close(
        set_likelihood_loss(logits, one), torch.nn.functional.cross_entropy(logits, target)
    )


def test_gradient_of_the_loss_is_finite() -> None:
    logits = torch.zeros(1, 5, requires_grad=True)
    set_likelihood_loss(logits, torch.from_numpy(star_mask([(4, 5)]))).backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, torch.tensor([[0.2, 0.2, 0.2, -0.3, -0.3]]))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_temperature_of_synthetic_logits_is_found(temperature: float) -> None:
    rng = torch.Generator().manual_seed(0)
    calibrated = 1.5 * torch.randn(5_000, 5, generator=rng)
    drawn = torch.multinomial(calibrated.softmax(1), 1, generator=rng)[:, 0]
    allowed = torch.nn.functional.one_hot(drawn, 5).bool()
    assert fit_temperature(calibrated * temperature, allowed) == pytest.approx(temperature, rel=0.1)


@pytest.mark.parametrize(("sign", "bound"), [(1.0, 0.25), (-1.0, 8.0)])
def test_temperature_stays_in_its_range(sign: float, bound: float) -> None:
    logits = sign * torch.eye(5)
    assert fit_temperature(logits, torch.eye(5).bool()) == pytest.approx(bound)


def separable_reviews(num: int) -> tuple[np.ndarray, np.ndarray]:
    """Pooled layers whose layer 1 tells the stars along one axis each, and the stars."""
    rng = np.random.default_rng(1)
    stars = rng.integers(1, 6, num)
    hidden = rng.normal(0, 0.1, (num, 2, 6)).astype(np.float32)
    hidden[np.arange(num), 1, stars] += 1.0
    return hidden, stars


def test_star_head_learns_what_can_be_separated() -> None:
    hidden, stars = separable_reviews(300)
    mask = star_mask([(int(star),) for star in stars])
    config = StarHeadConfig(layers=(1,), input_dim=6, hidden_dim=16, dropout=0.1)
    head = fit_star_head(hidden, mask, head=config, fit=FIT)
    assert not head.training
    fresh, wanted = separable_reviews(100)
    assert (head.star_probabilities(fresh).argmax(1) + 1 == wanted).mean() > 0.98


def test_star_head_is_the_same_for_the_same_seed() -> None:
    hidden, stars = separable_reviews(60)
    mask = star_mask([(1, 2) if star < 3 else (4, 5) for star in stars])
    config = StarHeadConfig(layers=(1,), input_dim=6, hidden_dim=8)
    once, again = (fit_star_head(hidden, mask, head=config, fit=FIT) for _ in range(2))
    np.testing.assert_array_equal(once.star_probabilities(hidden), again.star_probabilities(hidden))


def labelled_texts(num: int) -> tuple[list[str], np.ndarray]:
    polarity = np.arange(num, dtype=np.int64) % 3
    words = np.array(["差评", "一般", "很好"])
    return [f"{words[label]}{row % 7}" for row, label in enumerate(polarity)], polarity


@pytest.mark.parametrize("topics", [2, 0])
def test_ngram_model_learns_polarity_with_and_without_topics(topics: int) -> None:
    texts, polarity = labelled_texts(150)
    topic = np.arange(150, dtype=np.int64) % topics if topics else np.full(150, -1)
    torch.manual_seed(0)
    model = NgramModel(num_buckets=512, dim=8)
    fitted = fit_ngram_model(texts, polarity, topic, model=model, fit=FIT)
    assert not fitted.training
    _, classes = fitted.embed_and_classify(["差评", "一般", "很好"])
    assert classes.argmax(1).tolist() == [0, 1, 2]


def test_ngram_model_bears_batches_without_a_known_polarity() -> None:
    texts, polarity = labelled_texts(150)
    polarity[np.random.default_rng(0).permutation(150)[:60]] = -1
    fit = FitConfig(learning_rate=1e-2, batch_size=2, max_epochs=2, validation_share=0.2)
    model = NgramModel(num_buckets=512, dim=8)
    fitted = fit_ngram_model(texts, polarity, np.full(150, 0), model=model, fit=fit)
    _, classes = fitted.embed_and_classify(["差评", "一般", "很好"])
    assert np.isfinite(classes).all()
    assert classes.argmax(1).tolist() == [0, 1, 2]
