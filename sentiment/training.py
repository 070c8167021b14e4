"""Training of the shipped heads: pure functions from features and labels to a fitted model.

Labels are sets of stars. A review with three stars is {3}; one that is only known to be positive is
{4, 5}. The loss is -log P(set), so sources with two classes and with five train the same head.

Shape suffixes: N texts, F features, C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from sentiment.ngram_model import NgramModel
from sentiment.star_head import StarHead, StarHeadConfig

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
        validation_share: Share of the texts held out for early stopping and temperature.
        seed: Of the split, the order and the initial weights.
    """

    learning_rate: float = 1e-3
    weight_decay: float = 0.1
    batch_size: int = 256
    max_epochs: int = 20
    validation_share: float = 0.1
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


def fit_star_head(
    hidden: np.ndarray, mask: np.ndarray, *, head: StarHeadConfig, fit: FitConfig
) -> StarHead:
    """Fit the English head on pooled hidden layers.

    Args:
        hidden: `PooledTexts.hidden`, shape (N, layers + 1, D).
        mask: Allowed stars, see `star_mask`, shape (N, 5).
        head: Shape of the head.
        fit: How to fit it.

    Returns:
        The head at its best validation epoch, with temperature fitted on the validation part.
    """
    torch.manual_seed(fit.seed)
    model = StarHead(head)
    features = model.features(hidden)
    train, valid = _split(len(features), fit)
    model.mean.copy_(features[train].mean(0))
    model.scale.copy_(features[train].std(0) + 1e-4)
    allowed = torch.from_numpy(mask)
    _fit(model, lambda rows: model(features[rows]), allowed, train, valid, fit)
    with torch.no_grad():
        logits = model(features[valid])
    model.temperature.fill_(fit_temperature(logits, allowed[valid]))
    return model.eval()


def fit_ngram_model(
    texts: Sequence[str],
    polarity: np.ndarray,
    topic: np.ndarray,
    *,
    model: NgramModel,
    fit: FitConfig,
) -> NgramModel:
    """Fit the Chinese model on polarity, with the product category as a second task.

    Args:
        texts: N cleaned texts.
        polarity: 0 negative, 1 neutral, 2 positive, -1 unknown; int64, shape (N,).
        topic: Dense category index, -1 where unknown; keeps the vectors topical; int64, shape (N,).
        model: Initialised model; fitted in place.
        fit: How to fit it.

    Returns:
        The model at its best validation epoch, temperature fitted.
    """
    torch.manual_seed(fit.seed)
    topics = nn.Linear(model.dim, max(1, int(topic.max()) + 1))
    train, valid = _split(len(texts), fit)
    targets = torch.from_numpy(np.stack([polarity, topic], axis=1))

    def loss(rows: Tensor, *, with_topic: bool) -> Tensor:
        vectors = nn.functional.dropout(
            model([texts[row] for row in rows.tolist()]), 0.2, model.training
        )
        total = nn.functional.cross_entropy(
            model.polarity(vectors), targets[rows, 0], ignore_index=-1
        )
        known = bool((targets[rows, 1] >= 0).any())
        if with_topic and known:
            total = total + 0.3 * nn.functional.cross_entropy(
                topics(vectors), targets[rows, 1], ignore_index=-1
            )
        return total

    parameters = nn.ModuleList([model, topics])
    _descend(
        parameters,
        lambda rows: loss(rows, with_topic=True),
        lambda rows: loss(rows, with_topic=False),
        train,
        valid,
        fit,
    )
    model.eval()
    labelled = valid[targets[valid, 0] >= 0]
    with torch.no_grad():
        logits = model.polarity(model([texts[row] for row in labelled.tolist()]))
    allowed = nn.functional.one_hot(targets[labelled, 0], 3).bool()
    model.temperature.fill_(fit_temperature(logits, allowed))
    return model


def fit_temperature(logits: Tensor, allowed: Tensor) -> float:
    """Return the temperature in [0.25, 8] with the least set loss on held-out rows.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks".
    """
    grid = torch.logspace(-2, 3, 101, base=2.0)
    losses = [set_likelihood_loss(logits / t, allowed).item() for t in grid]
    return float(grid[int(np.argmin(losses))])


def fit_probability_temperature(probabilities: np.ndarray, actual: np.ndarray) -> float:
    """Return the temperature that best calibrates probabilities, shape (N, C), after the fact."""
    logits = torch.from_numpy(np.log(np.maximum(probabilities, 1e-12)))
    allowed = nn.functional.one_hot(torch.from_numpy(actual), probabilities.shape[1]).bool()
    return fit_temperature(logits, allowed)


def _split(num_rows: int, fit: FitConfig) -> tuple[Tensor, Tensor]:
    order = torch.randperm(num_rows, generator=torch.Generator().manual_seed(fit.seed))
    num_valid = max(1, round(num_rows * fit.validation_share))
    return order[num_valid:], order[:num_valid]


def _fit(model: nn.Module, logits, allowed: Tensor, train: Tensor, valid: Tensor, fit) -> None:
    def loss(rows: Tensor) -> Tensor:
        return set_likelihood_loss(logits(rows), allowed[rows])

    _descend(model, loss, loss, train, valid, fit)


def _descend(
    module: nn.Module, train_loss, valid_loss, train: Tensor, valid: Tensor, fit: FitConfig
) -> None:
    """AdamW with a cosine; leaves the module at its best validation epoch."""
    optimizer = torch.optim.AdamW(
        module.parameters(), lr=fit.learning_rate, weight_decay=fit.weight_decay
    )
    steps = fit.max_epochs * -(-len(train) // fit.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = torch.Generator().manual_seed(fit.seed)
    best, best_state = float("inf"), None
    for _ in range(fit.max_epochs):
        module.train()
        for rows in train[torch.randperm(len(train), generator=generator)].split(fit.batch_size):
            optimizer.zero_grad()
            train_loss(rows).backward()
            optimizer.step()
            schedule.step()
        module.eval()
        with torch.no_grad():
            parts = [valid_loss(rows).item() * len(rows) for rows in valid.split(4096)]
        current = sum(parts) / len(valid)
        if current < best:
            best = current
            best_state = {name: t.clone() for name, t in module.state_dict().items()}
    assert best_state is not None
    module.load_state_dict(best_state)
