"""Train the English review model that ships, on public data.

Run as `python -m jobs.train_review_model --data ../shared/data --out runs/review_model`. Stopped
and started again, it goes on from its last checkpoint. Musical instruments are never trained on:
they are the unseen domain.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from tokenizers import Tokenizer

from jobs.checkpoints import forget_checkpoint, keep_every, last_checkpoint
from jobs.sentiment_sources import (
    Labelled,
    Terms,
    amazon_polarity,
    aspect_terms,
    balanced,
    beauty,
    clothing,
    emotions,
    held_out,
    magazines,
    office_products,
    product_reviews,
    stanford_sentences,
    star_sets,
    stars_of_emotions,
    tweets,
    without,
)
from sentiment.encoder_files import DEFAULT_ENCODER, locate_encoder
from sentiment.finetuning import FineTuning, Step, fine_tune
from sentiment.review_model import ReviewModel, ReviewModelConfig
from sentiment.tasks import EmotionTask, StarTask, Task, aspect_task, tokenise
from sentiment.training import star_mask

HELD_OUT_DOMAINS = ("laptop14", "restaurant14")
_CHECKPOINT_STEPS = 200


def star_sources(data: Path, per_star: int) -> list[Labelled]:
    """Return what the star head learns from, balanced, without the held-out tenth."""
    sources = [
        amazon_polarity(data),
        balanced(office_products(data), per_star),
        balanced(product_reviews(data), per_star),
        balanced(clothing(data), per_star),
        balanced(magazines(data), 300),
        balanced(beauty(data), 200),
        stanford_sentences(data),
        tweets(data),
    ]
    return [without(source, held_out(source.texts)) for source in sources]


def training_terms(data: Path) -> Terms:
    """Return all aspect sentences but the held-out tenth of laptops and restaurants."""
    test = set(held_out_terms(data).texts)
    terms = aspect_terms(data)
    kept = [row for row, text in enumerate(terms.texts) if text not in test]
    return Terms(texts=[terms.texts[r] for r in kept], spans=[terms.spans[r] for r in kept])


def held_out_terms(data: Path) -> Terms:
    """Return the tenth of laptop and restaurant sentences that is never trained on."""
    terms = aspect_terms(data, HELD_OUT_DOMAINS)
    kept = np.flatnonzero(held_out(terms.texts)).tolist()
    return Terms(texts=[terms.texts[r] for r in kept], spans=[terms.spans[r] for r in kept])


def review_tasks(
    data: Path, tokenizer: Tokenizer, *, max_tokens: int, per_star: int, passes: int
) -> list[Task]:
    """Return every task of the English model."""
    tasks: list[Task] = [
        StarTask(
            name=source.name,
            ids=tokenise(tokenizer, source.texts, max_tokens),
            mask=star_mask(star_sets(source)),
        )
        for source in star_sources(data, per_star)
    ]
    felt = emotions(data, "train")
    kept = np.flatnonzero(~held_out(felt.texts))
    ids = tokenise(tokenizer, [felt.texts[row] for row in kept], 64)
    stars = stars_of_emotions(felt)[kept]
    terms = training_terms(data)
    for _ in range(passes):
        tasks.append(
            EmotionTask(name="emotions", ids=ids, labels=felt.labels[kept], stars=stars, weight=0.5)
        )
        tasks.append(aspect_task("aspects", tokenizer, terms.texts, terms.spans))
    return tasks


def fresh_model(num_emotions: int) -> tuple[ReviewModel, Tokenizer, str]:
    """Return a model over the default encoder, its tokenizer, and the hash of its weights."""
    from transformers import AutoModel

    folder, base = locate_encoder(DEFAULT_ENCODER)
    encoder = AutoModel.from_pretrained(folder, dtype=torch.float32)
    tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
    return ReviewModel(encoder, ReviewModelConfig(num_emotions=num_emotions)), tokenizer, base


def main(
    data: Annotated[Path, typer.Option(help="Folder that holds the training data.")],
    out: Annotated[Path, typer.Option(help="Folder of checkpoints and of the finished weights.")],
    device: Annotated[str, typer.Option(help="Torch device.")] = "cpu",
    max_tokens: Annotated[int, typer.Option(help="Longest review that is read.")] = 160,
    per_star: Annotated[int, typer.Option(help="Reviews a star from each large source.")] = 2500,
    passes: Annotated[int, typer.Option(help="Passes over emotions and aspects.")] = 2,
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 2,
    seed: Annotated[int, typer.Option(help="Of the order and of the heads.")] = 0,
) -> None:
    """Train, or go on training."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    out.mkdir(parents=True, exist_ok=True)
    model, tokenizer, base = fresh_model(len(emotions(data, "train").names))
    tasks = review_tasks(data, tokenizer, max_tokens=max_tokens, per_star=per_star, passes=passes)
    log = out / "log.jsonl"
    config = FineTuning(seed=seed, bf16=device.startswith("cuda"))
    settings = asdict(config) | {
        "max_tokens": max_tokens,
        "per_star": per_star,
        "passes": passes,
    }

    def on_step(step: Step) -> None:
        if step.number % 10 == 0:
            with log.open("a") as file:
                file.write(json.dumps(vars(step)) + "\n")

    fine_tune(
        model,
        tasks,
        config,
        device=device,
        resume=last_checkpoint(out, settings),
        on_step=on_step,
        on_checkpoint=keep_every(out, _CHECKPOINT_STEPS, settings),
    )
    model.cpu().save(out / "en_review_model.safetensors", base=base)
    forget_checkpoint(out)


if __name__ == "__main__":
    typer.run(main)
