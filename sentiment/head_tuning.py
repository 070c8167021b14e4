"""What is fitted once an encoder is trained: its embedding's projection, heads, and thresholds.

The encoder stays frozen, so each text is run once and heads are fitted on what it left. Validation
rows must be ones that the encoder was not trained on: it knows the others by heart, and what looks
certain on them is not.

Shape suffixes: N texts, P layers, D hidden width, S spans.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from sentiment.batching import padded, token_budget_batches
from sentiment.metrics import best_thresholds, label_f1
from sentiment.review_model import ReviewModel
from sentiment.tasks import AspectTask, EmotionTask
from sentiment.training import FitConfig, fit_head, fit_temperature

_BATCH_TOKENS = 4096
# Powers of absent : present by which a rare emotion's presence is weighed.
_WEIGHT_POWERS = (0.0, 0.25, 0.5)
# From the surest to the least sure: of equals the surest is taken.
_NEED_THRESHOLDS = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)


@dataclass(frozen=True, kw_only=True)
class TextOutputs:
    """What one pass leaves of N texts.

    Attributes:
        summary: What heads of a whole text read, float32, shape (N, 2 D).
        pooled: Mean of each layer, the token embedding first, float32, shape (N, P, D).
    """

    summary: Tensor
    pooled: Tensor


@torch.no_grad()
def run_texts(model: ReviewModel, ids: Sequence[Sequence[int]], device: str) -> TextOutputs:
    """Run every text once, in order."""
    summary: Tensor | None = None
    pooled: Tensor | None = None
    for rows in token_budget_batches(np.array([len(row) for row in ids]), _BATCH_TOKENS):
        encoded = model.encode(*padded([ids[row] for row in rows], device))
        if summary is None or pooled is None:
            summary = torch.empty(len(ids), encoded.summary_BX.shape[1])
            pooled = torch.empty(len(ids), *encoded.pooled_BPD.shape[1:])
        summary[rows] = encoded.summary_BX.float().cpu()
        pooled[rows] = encoded.pooled_BPD.float().cpu()
    if summary is None or pooled is None:
        raise ValueError("there are no texts to run")
    return TextOutputs(summary=summary, pooled=pooled)


@torch.no_grad()
def run_spans(model: ReviewModel, task: AspectTask, device: str) -> tuple[Tensor, Tensor]:
    """Return what heads of spans read, float32, (S, 3 D), and the class of each span, (S,).

    In the order of texts, and of spans within each.
    """
    read: Tensor | None = None
    classes = [polarity for spans in task.spans for _, _, polarity in spans]
    first = np.cumsum([0, *map(len, task.spans)]).tolist()
    some = [row for row, spans in enumerate(task.spans) if spans]
    lengths = np.array([len(task.ids[row]) for row in some])
    for batch in token_budget_batches(lengths, _BATCH_TOKENS):
        rows = [some[place] for place in batch]
        encoded = model.encode(*padded([task.ids[row] for row in rows], device))
        spans = [(place, *span) for place, row in enumerate(rows) for span in task.spans[row]]
        at = torch.tensor(spans, device=device)
        found = model.spans(encoded, at[:, 0], at[:, 1], at[:, 2]).float().cpu()
        if read is None:
            read = torch.empty(len(classes), found.shape[1])
        read[np.concatenate([np.arange(first[row], first[row + 1]) for row in rows])] = found
    if read is None:
        raise ValueError("there are no spans to run")
    return read, torch.tensor(classes)


def fitted_projection(start: Tensor, pooled: Tensor, wanted: Tensor, *, ridge: float) -> Tensor:
    """Fit the map of the embedding in closed form: ridge regression of the base's on all layers.

    Args:
        start: The map as it came, shape (embedding_dim, P x D); what is penalised is the way
            from there, once it is scaled to the length of what is wanted.
        pooled: `TextOutputs.pooled` of N texts.
        wanted: The base's unit embeddings of the same texts, shape (N, embedding_dim).
        ridge: Penalty, as a share of the mean squared input.

    Returns:
        The map, in the shape of `start`.
    """
    layers, wanted = pooled.flatten(1).double(), wanted.double()
    before = layers @ start.double().T
    scale = (before * wanted).sum() / (before * before).sum()
    gram = layers.T @ layers
    gram.diagonal().add_(ridge * gram.diagonal().mean())
    change = torch.linalg.solve(gram, layers.T @ (wanted - scale * before))
    return (scale * start.double() + change.T).float()


def fit_emotions(
    model: ReviewModel, train: EmotionTask, valid: EmotionTask, fit: FitConfig, *, device: str
) -> dict[str, float]:
    """Fit the emotion head further, weigh rare labels as validation likes best, set thresholds.

    Returns:
        Macro-F1 on the validation rows by weight power; `before` is that of the head as it came.
    """
    seen = run_texts(model, train.ids, device).summary
    unseen = run_texts(model, valid.ids, device).summary
    labels, wanted = (torch.from_numpy(task.labels).float() for task in (train, valid))
    odds = ((1 - labels.mean(0)) / labels.mean(0).clamp_min(1e-6)).clamp(1, 1e4)
    head = model.emotions.cpu()

    def judged() -> tuple[float, np.ndarray]:
        with torch.no_grad():
            found = head.eval()(unseen).sigmoid().numpy()
        thresholds = best_thresholds(found, valid.labels)
        return float(label_f1(found >= thresholds, valid.labels).mean()), thresholds

    start = copy.deepcopy(head.state_dict())
    best, thresholds = judged()
    figures, best_state = {"before": best}, start
    for power in _WEIGHT_POWERS:
        head.load_state_dict(start)
        loss = nn.BCEWithLogitsLoss(pos_weight=odds**power)
        fit_head(
            head,
            seen,
            lambda logits, rows, loss=loss: loss(logits, labels[rows]),
            unseen,
            lambda logits, rows, loss=loss: loss(logits, wanted[rows]),
            fit,
        )
        figures[f"power_{power}"], found = judged()
        if figures[f"power_{power}"] > best:
            best, thresholds = figures[f"power_{power}"], found
            best_state = copy.deepcopy(head.state_dict())
    head.load_state_dict(best_state)
    model.emotions.to(device)
    model.emotion_thresholds.copy_(torch.from_numpy(thresholds))
    return figures


def fit_span_polarity(
    model: ReviewModel,
    train: Sequence[AspectTask],
    valid: AspectTask,
    fit: FitConfig,
    *,
    device: str,
) -> dict[str, float]:
    """Fit the polarity of spans further, on terms and clauses, and set its temperature.

    Returns:
        Accuracy on the validation spans before and after, and the temperature.
    """
    parts = [run_spans(model, task, device) for task in train]
    seen, classes = torch.cat([read for read, _ in parts]), torch.cat([c for _, c in parts])
    unseen, wanted = run_spans(model, valid, device)
    head = model.span_polarity.cpu().eval()
    with torch.no_grad():
        before = (head(unseen).argmax(1) == wanted).float().mean().item()
    _fit_classes(head, seen, classes, unseen, wanted, fit)
    with torch.no_grad():
        logits = head.eval()(unseen)
    temperature = fit_temperature(logits, nn.functional.one_hot(wanted, logits.shape[1]).bool())
    model.span_polarity.to(device)
    model.polarity_temperature.fill_(temperature)
    return {
        "before": before,
        "after": (logits.argmax(1) == wanted).float().mean().item(),
        "temperature": temperature,
    }


def set_need_threshold(
    model: ReviewModel, labelled: AspectTask, by_rules: np.ndarray, *, device: str
) -> dict[str, float]:
    """Set the probability from which on a clause without a need by the rules voices one.

    Args:
        model: Changed in place.
        labelled: Clauses (class 0 is none) of sentences that nothing was trained on.
        by_rules: Which of these clauses the rules find: the head is to add to them.
        device: Torch device.

    Returns:
        F1 of clauses with a need by the rules alone, by the head alone and by both, and the
        threshold.
    """
    read, wanted = run_spans(model, labelled, device)
    with torch.no_grad():
        need = 1 - model.needs(read.to(device)).softmax(1)[:, 0].cpu().numpy()
    is_need = (wanted > 0).numpy()

    def f1(found: np.ndarray) -> float:
        return float(label_f1(found[:, None], is_need[:, None])[0])

    threshold = max(_NEED_THRESHOLDS, key=lambda least: f1(by_rules | (need >= least)))
    model.need_threshold.fill_(threshold)
    return {
        "f1_of_rules": f1(by_rules),
        "f1_of_head": f1(need >= threshold),
        "f1": f1(by_rules | (need >= threshold)),
        "threshold": threshold,
    }


def set_star_temperature(
    model: ReviewModel, ids: Sequence[Sequence[int]], allowed: np.ndarray, *, device: str
) -> float:
    """Set and return the temperature of the stars from rows nobody trained on.

    Args:
        model: Changed in place.
        ids: Token ids of N texts.
        allowed: Stars that each label allows, bool, shape (N, 5).
        device: Torch device.
    """
    summary = run_texts(model, ids, device).summary
    with torch.no_grad():
        logits = model.stars(summary.to(device)).float().cpu()
    temperature = fit_temperature(logits, torch.from_numpy(allowed))
    model.star_temperature.fill_(temperature)
    return temperature


def _fit_classes(
    head: nn.Module, seen: Tensor, classes: Tensor, unseen: Tensor, wanted: Tensor, fit: FitConfig
) -> None:
    cross_entropy = nn.functional.cross_entropy
    fit_head(
        head,
        seen,
        lambda logits, rows: cross_entropy(logits, classes[rows]),
        unseen,
        lambda logits, rows: cross_entropy(logits, wanted[rows]),
        fit,
    )
