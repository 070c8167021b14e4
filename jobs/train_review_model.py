"""Train the English review model that ships, on public data.

Run as `python -m jobs.train_review_model --data ../shared/data --out runs/review_model`. Stopped
and started again, it goes on from its last checkpoint. Musical instruments and clothing are never
trained on: they are the unseen domains.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from tokenizers import Tokenizer

from jobs.review_training import train_in_folder
from jobs.sentiment_sources import (
    Labelled,
    amazon_polarity,
    balanced,
    beauty,
    emotions,
    held_out,
    magazines,
    office_products,
    product_reviews,
    stanford_sentences,
    star_sets,
    stars_of_emotions,
    training_terms,
    tweets,
    without,
)
from jobs.tune_review_model import tune_english
from sentiment.encoder_files import DEFAULT_ENCODER
from sentiment.finetuning import FineTuning
from sentiment.model_file import fresh_model, load_model, save_model
from sentiment.tasks import EmotionTask, StarTask, Task, aspect_task, tokenise
from sentiment.training import star_mask

FILE = "en_review_model.safetensors"
RAW = "trained.safetensors"


def star_sources(data: Path, per_star: int) -> list[Labelled]:
    """Return what the star head learns from, balanced, without the held-out tenth."""
    sources = [
        amazon_polarity(data),
        balanced(office_products(data), per_star),
        balanced(product_reviews(data), per_star),
        balanced(magazines(data), 300),
        balanced(beauty(data), 200),
        stanford_sentences(data),
        tweets(data),
    ]
    return [without(source, held_out(source.texts)) for source in sources]


@dataclass(frozen=True, kw_only=True)
class Passes:
    """How often each kind of text is read; reviews of other sources are read once.

    Attributes:
        polarity: Amazon reviews of two classes.
        emotions: Comments with emotions.
        aspects: Sentences with aspect terms.
    """

    polarity: int = 2
    emotions: int = 2
    aspects: int = 4


def review_tasks(
    data: Path, tokenizer: Tokenizer, *, max_tokens: int, per_star: int, passes: Passes
) -> list[Task]:
    """Return every task of the English model, one that is read twice twice."""
    tasks: list[Task] = []
    for source in star_sources(data, per_star):
        task = StarTask(
            name=source.name,
            ids=tokenise(tokenizer, source.texts, max_tokens),
            mask=star_mask(star_sets(source)),
        )
        tasks += [task] * (passes.polarity if source.name == "amazon_polarity" else 1)
    felt = emotions(data, "train")
    kept = np.flatnonzero(~held_out(felt.texts))
    ids = tokenise(tokenizer, [felt.texts[row] for row in kept], 64)
    stars = stars_of_emotions(felt)[kept]
    terms = training_terms(data)
    of_emotions = EmotionTask(
        name="emotions", ids=ids, labels=felt.labels[kept], stars=stars, weight=0.5
    )
    of_aspects = aspect_task("aspects", tokenizer, terms.texts, terms.spans)
    return tasks + [of_emotions] * passes.emotions + [of_aspects] * passes.aspects


def main(
    data: Annotated[Path, typer.Option(help="Folder that holds the training data.")],
    out: Annotated[Path, typer.Option(help="Folder of checkpoints and of the finished weights.")],
    device: Annotated[str, typer.Option(help="Torch device.")] = "cpu",
    max_tokens: Annotated[int, typer.Option(help="Longest review that is read.")] = 128,
    per_star: Annotated[int, typer.Option(help="Reviews a star from each large source.")] = 1500,
    polarity_passes: Annotated[int, typer.Option(help="Over Amazon's two classes.")] = 2,
    emotion_passes: Annotated[int, typer.Option(help="Over comments with emotions.")] = 2,
    aspect_passes: Annotated[int, typer.Option(help="Over sentences with aspects.")] = 4,
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 2,
    seed: Annotated[int, typer.Option(help="Of the order and of the heads.")] = 0,
) -> None:
    """Train, or go on training."""
    torch.set_num_threads(threads)
    if not (out / RAW).is_file():
        passes = Passes(polarity=polarity_passes, emotions=emotion_passes, aspects=aspect_passes)
        _fine_tune(data, out, device, max_tokens, per_star, passes, seed)
    trained = load_model(out / RAW)
    figures = tune_english(trained, data, device=device, max_tokens=max_tokens)
    save_model(out / FILE, trained)
    typer.echo(json.dumps(figures, indent=2))


def _fine_tune(
    data: Path, out: Path, device: str, max_tokens: int, per_star: int, passes: Passes, seed: int
) -> None:
    names = tuple(emotions(data, "train").names)
    trained = fresh_model(DEFAULT_ENCODER, emotions=names, seed=seed)
    tasks = review_tasks(
        data, trained.tokenizer, max_tokens=max_tokens, per_star=per_star, passes=passes
    )
    train_in_folder(
        trained,
        tasks,
        FineTuning(seed=seed, bf16=device.startswith("cuda")),
        out,
        RAW,
        settings={"max_tokens": max_tokens, "per_star": per_star, "passes": asdict(passes)},
        device=device,
    )


if __name__ == "__main__":
    typer.run(main)
