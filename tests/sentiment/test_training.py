import math

import pytest
import torch

from sentiment.training import (
    FitConfig,
    fit_head,
    fit_temperature,
    set_likelihood_loss,
    star_mask,
)

FIT = FitConfig(learning_rate=1e-2, batch_size=32, max_epochs=10)


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


def separable(num: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    classes = torch.randint(3, (num,), generator=rng)
    features = torch.nn.functional.one_hot(classes, 6).float()
    return features + 0.1 * torch.randn(num, 6, generator=rng), classes


def fitted(seed: int = 0) -> tuple[torch.nn.Module, float]:
    torch.manual_seed(seed)
    head = torch.nn.Linear(6, 3)
    (seen, classes), (unseen, wanted) = separable(200, 1), separable(60, 2)
    cross_entropy = torch.nn.functional.cross_entropy
    best = fit_head(
        head,
        seen,
        lambda logits, rows: cross_entropy(logits, classes[rows]),
        unseen,
        lambda logits, rows: cross_entropy(logits, wanted[rows]),
        FIT,
    )
    return head, best


def test_a_head_learns_what_can_be_separated_the_same_way_each_time() -> None:
    head, best = fitted()
    features, classes = separable(100, 3)
    assert (head(features).argmax(1) == classes).float().mean() > 0.98
    assert not head.training
    assert fitted()[1] == best


def test_a_head_that_was_better_before_stays_as_it_was() -> None:
    head, _ = fitted()
    before = {name: tensor.clone() for name, tensor in head.state_dict().items()}
    features, classes = separable(100, 3)
    wrong = (classes + 1) % 3
    cross_entropy = torch.nn.functional.cross_entropy
    fit_head(
        head,
        features,
        lambda logits, rows: cross_entropy(logits, wrong[rows]),
        features,
        lambda logits, rows: cross_entropy(logits, classes[rows]),
        FIT,
    )
    for name, tensor in head.state_dict().items():
        assert torch.equal(tensor, before[name])
