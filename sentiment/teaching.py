"""What several trained models say of texts, for one model to learn.

Source: Hinton et al. 2015, "Distilling the knowledge in a neural network", at temperature 1. The
mean of several models is right more often than each of them, and it has an opinion on texts that
nobody labelled.

Shape suffixes: B texts, L tokens, E emotions, S spans, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from sentiment.batching import padded, token_budget_batches
from sentiment.review_model import Encoded, ReviewModel
from sentiment.tasks import AspectTask

_BATCH_TOKENS = 8192


@dataclass(frozen=True, kw_only=True)
class TaughtTask:
    """Texts with the teachers' probabilities.

    Attributes:
        ids: Token ids of each text, with the special ones.
        read: Which tokens of a text are no special ones.
        stars: Of each text, shape (N, 5).
        emotions: Of each text, shape (N, E); each is a probability of its own.
        tags: Of each token of a text, shape (L, 3).
        spans: Token start and end of the clauses and terms of a text.
        polarity: Of each span of a text, shape (S, 3).
        emotion_weight: Factor of the emotions' loss.
    """

    name: str
    ids: list[list[int]]
    read: list[np.ndarray]
    stars: np.ndarray
    emotions: np.ndarray
    tags: list[np.ndarray]
    spans: list[list[tuple[int, int]]]
    polarity: list[np.ndarray]
    emotion_weight: float = 0.5
    weight: float = 1.0

    def loss(self, model: ReviewModel, encoded: Encoded, rows: np.ndarray) -> Tensor:
        """Return the cross-entropy to the teachers, summed over the kinds of signals."""
        device = encoded.tokens_BLD.device
        summary_BX = encoded.summary_BX
        loss = _cross_entropy(model.stars(summary_BX), _tensor(self.stars[rows], device))
        logits_BE = model.emotions(summary_BX).float()
        wanted_BE = _tensor(self.emotions[rows], device)
        per_emotion = nn.functional.binary_cross_entropy_with_logits(
            logits_BE, wanted_BE, reduction="none"
        )
        loss = loss + self.emotion_weight * per_emotion.sum(1).mean()
        mask_BL = np.zeros(tuple(encoded.tokens_BLD.shape[:2]), dtype=bool)
        for place, row in enumerate(rows):
            mask_BL[place, : len(self.read[row])] = self.read[row]
        wanted = np.concatenate([self.tags[row][self.read[row]] for row in rows])
        at_TD = encoded.tokens_BLD[torch.from_numpy(mask_BL).to(device)]
        loss = loss + _cross_entropy(model.tags(at_TD), _tensor(wanted, device))
        placed = [(place, *span) for place, row in enumerate(rows) for span in self.spans[row]]
        if not placed:
            return loss
        row_S, start_S, end_S = torch.tensor(placed, device=device).T
        found = model.span_polarity(model.spans(encoded, row_S, start_S, end_S))
        polarity_SK = np.concatenate([self.polarity[row] for row in rows if self.spans[row]])
        return loss + _cross_entropy(found, _tensor(polarity_SK, device))


@torch.inference_mode()
def teach(
    teachers: Sequence[ReviewModel], task: AspectTask, *, device: str, bf16: bool = False
) -> TaughtTask:
    """Let models read texts, and keep the mean of their probabilities.

    Args:
        teachers: Models over the same tokenizer with the same emotions, in evaluation mode.
        task: Texts and the spans whose polarity is to be told; what it says of them is not read.
        device: Torch device.
        bf16: Autocast to bfloat16.

    Raises:
        ValueError: If there is no teacher.
    """
    if not teachers:
        raise ValueError("there are no teachers")
    num = len(task.ids)
    spans = [[(start, end) for start, end, _ in of_text] for of_text in task.spans]
    stars = np.zeros((num, 5), dtype=np.float32)
    emotions = np.zeros((num, len(teachers[0].config.emotions)), dtype=np.float32)
    tags = [np.zeros((len(row), 3), dtype=np.float32) for row in task.ids]
    polarity = [np.zeros((len(of_text), 3), dtype=np.float32) for of_text in spans]
    share = 1 / len(teachers)
    batches = list(token_budget_batches(np.array([len(row) for row in task.ids]), _BATCH_TOKENS))
    for teacher in teachers:
        teacher.to(device).eval()
        for rows in batches:
            with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=bf16):
                encoded = teacher.encode(*padded([task.ids[row] for row in rows], device))
                stars[rows] += share * _softmax(teacher.stars(encoded.summary_BX))
                found = teacher.emotions(encoded.summary_BX).float().sigmoid().cpu().numpy()
                emotions[rows] += share * found
                of_tokens = _softmax(teacher.tags(encoded.tokens_BLD))
                placed = [(place, *span) for place, row in enumerate(rows) for span in spans[row]]
                at = torch.tensor(placed, dtype=torch.long, device=device).reshape(-1, 3)
                of_spans = _softmax(teacher.span_polarity(teacher.spans(encoded, *at.T)))
            first = 0
            for place, row in enumerate(rows):
                tags[row] += share * of_tokens[place, : len(tags[row])]
                polarity[row] += share * of_spans[first : first + len(spans[row])]
                first += len(spans[row])
    return TaughtTask(
        name=f"taught {task.name}",
        ids=task.ids,
        read=[np.array(of_text) >= 0 for of_text in task.tags],
        stars=stars,
        emotions=emotions,
        tags=tags,
        spans=spans,
        polarity=polarity,
        weight=task.weight,
    )


def _cross_entropy(logits: Tensor, wanted: Tensor) -> Tensor:
    return -(wanted * logits.float().log_softmax(-1)).sum(-1).mean()


def _softmax(logits: Tensor) -> np.ndarray:
    return logits.float().softmax(-1).cpu().numpy()


def _tensor(values: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).to(device)
