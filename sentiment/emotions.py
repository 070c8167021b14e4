"""From the emotion labels of a data set to the nine that a shop reads.

Six are Ekman's basic emotions, into which GoEmotions groups its labels (Demszky et al. 2020,
"GoEmotions", table 5); three more matter to a shop and stand alone too.
"""

from collections.abc import Sequence

import numpy as np

SHOP_EMOTIONS = (
    "joy",
    "anger",
    "sadness",
    "fear",
    "disgust",
    "surprise",
    "gratitude",
    "disappointment",
    "excitement",
)

# fmt: off
_LABELS = {
    "joy": ("joy", "admiration", "amusement", "approval", "caring", "desire", "excitement",
            "gratitude", "love", "optimism", "pride", "relief", "happy"),
    "anger": ("anger", "annoyance", "disapproval", "angry"),
    "sadness": ("sadness", "disappointment", "embarrassment", "grief", "remorse", "sad"),
    "fear": ("fear", "nervousness"),
    "disgust": ("disgust",),
    "surprise": ("surprise", "confusion", "curiosity", "realization"),
    "gratitude": ("gratitude",),
    "disappointment": ("disappointment",),
    "excitement": ("excitement",),
}
# fmt: on


def shop_emotions(strengths: np.ndarray, labels: Sequence[str]) -> np.ndarray:
    """Return the strength of each of `SHOP_EMOTIONS`: that of its strongest label.

    Args:
        strengths: Of each label, shape (N, labels).
        labels: Names of the columns, of GoEmotions or of the Weibo set.

    Returns:
        float32, shape (N, 9); NaN where none of the labels stands for an emotion.

    >>> shop_emotions(np.array([[0.2, 0.9]]), ["joy", "anger"])[0, :3]
    array([0.2, 0.9, nan], dtype=float32)
    """
    found = np.full((len(strengths), len(SHOP_EMOTIONS)), np.nan, dtype=np.float32)
    for place, emotion in enumerate(SHOP_EMOTIONS):
        columns = [n for n, label in enumerate(labels) if label in _LABELS[emotion]]
        if columns:
            found[:, place] = strengths[:, columns].max(1)
    return found


def strengths(probabilities: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Move probabilities so that each label's threshold comes to lie at one half.

    The odds are divided by those of the threshold: the order stays, and 0 and 1 stay.

    Args:
        probabilities: In [0, 1], shape (N, E).
        thresholds: Within (0, 1), shape (E,).

    >>> strengths(np.array([[0.2, 0.1]]), np.array([0.2, 0.5])).round(2)
    array([[0.5, 0.1]])
    """
    present = probabilities * (1 - thresholds)
    absent = (1 - probabilities) * thresholds
    return present / np.maximum(present + absent, 1e-12)
