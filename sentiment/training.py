"""Fitting of heads on a frozen encoder's output, and of temperatures.

Labels are sets of stars. A review with three stars is {3}; one that is only known to be positive is
{4, 5}. The loss is -log P(set), so sources with two classes and with five train the same head.

Shape suffixes: N texts, F features, C classes.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from scipy.special import log_softmax, logsumexp
from torch import Tensor, nn

NEGATIVE_STARS = (1, 2)
POSITIVE_STARS = (4, 5)


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """How a head is fitted.

    Attributes:
        learning_rate: Peak rate of AdamW; follows a cosine to zero.
        weight_decay: Decoupled decay of AdamW.
        batch_size: Texts a step.
        max_epochs: Upper bound; the epoch with the best validation loss is kept.
        seed: Of the order and of dropout.
    """

    learning_rate: float = 5e-4
    weight_decay: float = 0.05
    batch_size: int = 256
    max_epochs: int = 10
    seed: int = 0


def star_mask(labels: Sequence[Sequence[int]]) -> np.ndarray:
    """Return sets of possible stars as booleans, shape (N, 5).

    >>> star_mask([(3,), (4, 5)]).astype(int).tolist()
    [[0, 0, 1, 0, 0], [0, 0, 0, 1, 1]]
    """
    mask = np.zeros((len(labels), 5), dtype=bool)
    for row, stars in enumerate(labels):
        mask[row, np.asarray(stars) - 1] = True
    return mask


def set_likelihood_loss(logits_NC: Tensor, mask_NC: Tensor) -> Tensor:
    """Return the mean of -log of the probability that falls on each row's allowed classes."""
    log_p_NC = logits_NC.log_softmax(1)
    return -log_p_NC.masked_fill(~mask_NC, -torch.inf).logsumexp(1).mean()


def fit_head(
    head: nn.Module,
    features: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor],
    valid_features: Tensor,
    valid_loss: Callable[[Tensor, Tensor], Tensor],
    fit: FitConfig,
) -> float:
    """Fit a head on what a frozen encoder gives, in place.

    Args:
        head: Fitted from the weights it has; left at its best validation epoch, which may be the
            state it came in.
        features: What the head reads, shape (N, F).
        loss: From logits and their rows to the mean loss.
        valid_features: Of rows that the encoder was not trained on, shape (M, F).
        valid_loss: From their logits and rows to the mean loss that chooses the epoch.
        fit: How to fit it.

    Returns:
        The best validation loss.
    """
    torch.manual_seed(fit.seed)
    optimizer = torch.optim.AdamW(
        head.parameters(), lr=fit.learning_rate, weight_decay=fit.weight_decay
    )
    steps = fit.max_epochs * -(-len(features) // fit.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    best, best_state = float("inf"), copy.deepcopy(head.state_dict())
    for epoch in range(fit.max_epochs + 1):
        if epoch:
            head.train()
            for rows in torch.randperm(len(features)).split(fit.batch_size):
                optimizer.zero_grad()
                loss(head(features[rows]), rows).backward()
                optimizer.step()
                schedule.step()
        head.eval()
        with torch.no_grad():
            everything = torch.arange(len(valid_features))
            current = valid_loss(head(valid_features), everything).item()
        if current < best:
            best, best_state = current, copy.deepcopy(head.state_dict())
    head.load_state_dict(best_state)
    return best


def fit_temperature(logits: Tensor, allowed: Tensor) -> float:
    """Return the temperature in [0.25, 8] with the least set loss on held-out rows.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks".
    """
    # In NumPy: on busy cores the threads of torch wait for each other at products this small.
    grid = np.logspace(-2, 3, 101, base=2.0)
    values, outside = logits.double().numpy(), ~allowed.numpy()
    losses = []
    for temperature in grid:
        log_p = log_softmax(values / temperature, axis=1)
        log_p[outside] = -np.inf
        # Without signs it is an array, which its type leaves open.
        losses.append(-cast("np.ndarray", logsumexp(log_p, axis=1)).mean())
    return float(grid[int(np.argmin(losses))])


def fit_probability_temperature(probabilities: np.ndarray, actual: np.ndarray) -> float:
    """Return the temperature that best calibrates probabilities, shape (N, C), after the fact."""
    logits = torch.from_numpy(np.log(np.maximum(probabilities, 1e-12)))
    allowed = nn.functional.one_hot(torch.from_numpy(actual), probabilities.shape[1]).bool()
    return fit_temperature(logits, allowed)
