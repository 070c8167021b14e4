"""One model out of several: the mean of their weights, where that is better than each.

Source: Wortsman et al. 2022, "Model soups: averaging weights of multiple fine-tuned models improves
accuracy without increasing inference time"; the greedy recipe.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

State = dict[str, Tensor]


def greedy_soup(
    states: Sequence[State], loss: Callable[[State], float]
) -> tuple[State, list[int], float]:
    """Average the weights of models that were trained from the same start.

    The best model is taken first; the others join in order of their own loss as long as the
    average does not get worse.

    Args:
        states: Weights of each model, with the same names and shapes.
        loss: Validation loss of some weights.

    Returns:
        The averaged weights, which of the models are in it, and its validation loss, which is never
        above that of the best single one.

    Raises:
        ValueError: If there is no model, or they are of different shapes.
    """
    if not states:
        raise ValueError("there are no models to average")
    shapes = [{name: tensor.shape for name, tensor in state.items()} for state in states]
    if any(found != shapes[0] for found in shapes):
        raise ValueError("models of different shapes cannot be averaged")
    losses = [loss(state) for state in states]
    order = sorted(range(len(states)), key=lambda place: (losses[place], place))
    chosen, soup, best = [order[0]], states[order[0]], losses[order[0]]
    for place in order[1:]:
        tried = mean_state([states[member] for member in (*chosen, place)])
        found = loss(tried)
        if found <= best:
            chosen, soup, best = [*chosen, place], tried, found
    return soup, chosen, best


def mean_state(states: Sequence[State]) -> State:
    """Return the mean of each tensor."""
    return {
        name: torch.stack([state[name].float() for state in states]).mean(0) for name in states[0]
    }
