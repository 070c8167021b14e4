import pytest
import torch

from sentiment.averaging import greedy_soup


def states(*values: float) -> list[dict[str, torch.Tensor]]:
    return [{"w": torch.tensor([value])} for value in values]


def distance(to: float):
    return lambda state: abs(state["w"].item() - to)


def test_models_around_the_best_point_are_averaged() -> None:
    soup, chosen, loss = greedy_soup(states(1.0, 3.1, 9.0), distance(2.0))
    assert sorted(chosen) == [0, 1]
    assert soup["w"].item() == pytest.approx(2.05)
    assert loss == pytest.approx(0.05)


def test_one_that_makes_it_worse_stays_out() -> None:
    soup, chosen, loss = greedy_soup(states(5.0, 2.0, 4.0), distance(2.0))
    assert (chosen, soup["w"].item(), loss) == ([1], 2.0, 0.0)


def test_models_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="no models"):
        greedy_soup([], distance(0.0))
    with pytest.raises(ValueError, match="different shapes"):
        greedy_soup([*states(1.0), {"w": torch.zeros(2)}], distance(0.0))
