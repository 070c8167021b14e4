"""Train the heads that ship in `sentiment/weights`, and write their model card.

Run as `python -m jobs.train_sentiment --data ../shared/data`. A tenth of every source, chosen by a
hash of the text, is never trained on; the card's figures come from it, and from a product domain
(musical instruments) that no head has seen at all.
"""

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from jobs.sentiment_sources import (
    amazon_polarity,
    held_out,
    musical_instruments,
    office_products,
    online_shopping,
    star_sets,
    weibo,
)
from sentiment.encoder import EncoderConfig, TextEncoder
from sentiment.metrics import calibration_error, macro_f1, two_class_accuracy
from sentiment.ngram_model import NgramModel
from sentiment.scorer import NGRAM_FILE, STAR_HEAD_FILE, WEIGHTS
from sentiment.star_head import StarHeadConfig, polarity_probabilities
from sentiment.training import (
    FitConfig,
    fit_ngram_model,
    fit_star_head,
    star_mask,
)

TRAINING_TOKENS = 256


def train_all(data: Path, *, device: str = "cpu", seed: int = 0) -> dict[str, dict[str, float]]:
    """Train and save both heads; return the figures that the card shows."""
    figures = _train_english(data, device=device, seed=seed)
    figures |= _train_chinese(data, seed=seed)
    (WEIGHTS / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")
    return figures


def _train_english(data: Path, *, device: str, seed: int) -> dict[str, dict[str, float]]:
    encoder = TextEncoder.load(EncoderConfig(device=device, max_tokens=TRAINING_TOKENS))
    sources = [amazon_polarity(data), office_products(data)]
    hidden = [encoder.pool(source.texts).hidden for source in sources]
    test = [held_out(source.texts) for source in sources]
    mask = [star_mask(star_sets(source)) for source in sources]
    head = fit_star_head(
        np.concatenate([h[~t] for h, t in zip(hidden, test, strict=True)]),
        np.concatenate([m[~t] for m, t in zip(mask, test, strict=True)]),
        head=StarHeadConfig(),
        fit=FitConfig(seed=seed),
    )
    head.save(STAR_HEAD_FILE)
    figures = {}
    for source, h, t in zip(sources, hidden, test, strict=True):
        figures[source.name] = star_figures(head.star_probabilities(h[t]), source.label[t])
    unseen = musical_instruments(data)
    stars = head.star_probabilities(encoder.pool(unseen.texts).hidden)
    figures[unseen.name] = star_figures(stars, unseen.label)
    return figures


def star_figures(stars: np.ndarray, label: np.ndarray) -> dict[str, float]:
    """Return how star probabilities, shape (N, 5), agree with stars, shape (N,).

    Two classes leave three stars out; figures of three classes are there where such labels are.
    """
    probabilities = polarity_probabilities(stars)
    actual = np.where(label <= 2, 0, np.where(label == 3, 1, 2))
    clear = label != 3
    figures = {
        "n": float(len(label)),
        "accuracy_two_classes": two_class_accuracy(probabilities[clear], label[clear] > 3),
    }
    if not clear.all():
        figures["macro_f1_three_classes"] = macro_f1(probabilities.argmax(1), actual)
        figures["calibration_error"] = calibration_error(probabilities, actual)
    return figures


def _train_chinese(data: Path, *, seed: int) -> dict[str, dict[str, float]]:
    sources = [online_shopping(data), weibo(data)]
    test = [held_out(source.texts) for source in sources]
    texts = [
        text
        for source, t in zip(sources, test, strict=True)
        for text, out in zip(source.texts, t, strict=True)
        if not out
    ]
    label = np.concatenate([s.label[~t] for s, t in zip(sources, test, strict=True)])
    topic = np.concatenate([s.topic[~t] for s, t in zip(sources, test, strict=True)])
    model = fit_ngram_model(
        texts,
        label,
        topic,
        model=NgramModel(),
        fit=FitConfig(learning_rate=5e-3, weight_decay=1e-2, max_epochs=6, seed=seed),
    )
    model.save(NGRAM_FILE)
    figures = {}
    for source, t in zip(sources, test, strict=True):
        rows = np.flatnonzero(t)
        _, probabilities = model.embed_and_classify([source.texts[row] for row in rows])
        actual = source.label[rows]
        clear = actual != 1
        figures[source.name] = {
            "n": float(len(rows)),
            "accuracy_two_classes": two_class_accuracy(probabilities[clear], actual[clear] == 2),
        }
        if not clear.all():
            figures[source.name]["macro_f1_three_classes"] = macro_f1(
                probabilities.argmax(1), actual
            )
    return figures


def main(
    data: Annotated[Path, typer.Option(help="Folder that holds the training data.")],
    device: Annotated[str, typer.Option(help="Torch device of the encoder.")] = "cpu",
    seed: Annotated[int, typer.Option(help="Seed of splits, order and weights.")] = 0,
) -> None:
    """Train the shipped heads and print their figures."""
    typer.echo(json.dumps(train_all(data, device=device, seed=seed), indent=2))


if __name__ == "__main__":
    typer.run(main)
