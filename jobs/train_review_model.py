"""Train the English review model that ships, on public data, in two stages and a tuning.

The first stage reads everything; the second reads aspect terms more often, needs that the rules
find, and enough of the rest that it is not forgotten. Run as
`python -m jobs.train_review_model --data ../shared/data --out runs/review_model`. Stopped and
started again, it goes on from its last checkpoint. Musical instruments and clothing are never
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
    tweets,
    without,
)
from jobs.term_sources import clauses_with_needs, training_terms
from jobs.tune_review_model import tune_english
from sentiment.encoder_files import DEFAULT_ENCODER
from sentiment.finetuning import FineTuning
from sentiment.model_file import fresh_model, load_model, save_model
from sentiment.needs import find_needs
from sentiment.tasks import EmotionTask, NeedTask, StarTask, Task, aspect_task, tokenise
from sentiment.training import star_mask

FILE = "en_review_model.safetensors"
STAGES = ("first", "second")
RAW = "trained.safetensors"
# Of the second stage. Terms of these domains are marked by one guideline, SemEval's.
_DENSE_DOMAINS = ("laptop14", "restaurant14", "restaurant15", "restaurant16")
_DENSE_PASSES = 4
_NEED_TEXTS = 1500
_STARS_AGAIN = 300
_TEXTS_AGAIN = 1200
_COMMENTS_AGAIN = 6000


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


def span_tasks(data: Path, tokenizer: Tokenizer, *, max_tokens: int, seed: int) -> list[Task]:
    """Return the tasks of the second stage; what else was learned is read again in part."""
    rng = np.random.default_rng([seed, 2])
    tasks: list[Task] = []
    for source in star_sources(data, _STARS_AGAIN):
        kept = _some(rng, len(source.texts), _TEXTS_AGAIN)
        again = without(source, ~kept)
        ids = tokenise(tokenizer, again.texts, max_tokens)
        tasks.append(StarTask(name=again.name, ids=ids, mask=star_mask(star_sets(again))))
    felt = emotions(data, "train")
    rows = np.flatnonzero(~held_out(felt.texts) & _some(rng, len(felt.texts), _COMMENTS_AGAIN))
    tasks.append(
        EmotionTask(
            name="emotions",
            ids=tokenise(tokenizer, [felt.texts[row] for row in rows], 64),
            labels=felt.labels[rows],
            stars=stars_of_emotions(felt)[rows],
            weight=0.5,
        )
    )
    terms, dense = training_terms(data), training_terms(data, _DENSE_DOMAINS)
    tasks.append(aspect_task("aspects", tokenizer, terms.texts, terms.spans))
    tasks += [aspect_task("dense", tokenizer, dense.texts, dense.spans)] * _DENSE_PASSES
    reviews = _reviews_with_needs(data)
    found = [find_needs(text) for text in reviews]
    voiced = np.array([bool(needs) for needs in found])
    chosen = np.flatnonzero(voiced | _some(rng, len(reviews), int(voiced.sum())))
    weak = rng.permutation(chosen)[:_NEED_TEXTS].tolist()
    clauses = clauses_with_needs([reviews[row] for row in weak], [found[row] for row in weak])
    placed = aspect_task("needs", tokenizer, clauses.texts, clauses.spans, max_tokens=max_tokens)
    return [*tasks, NeedTask(name=placed.name, ids=placed.ids, spans=placed.spans)]


def _reviews_with_needs(data: Path) -> list[str]:
    """Return reviews in which needs may be looked for."""
    reviews = [*balanced(office_products(data), 1200).texts]
    reviews += balanced(product_reviews(data), 1200).texts
    out = held_out(reviews)
    return [text for text, left in zip(reviews, out, strict=True) if not left]


def _some(rng: np.random.Generator, num: int, most: int) -> np.ndarray:
    """Return which of `num` rows are among `most` chosen ones, bool, shape (num,)."""
    return np.isin(np.arange(num), rng.permutation(num)[:most])


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
    first, second = (out / stage / RAW for stage in STAGES)
    if not first.is_file():
        passes = Passes(polarity=polarity_passes, emotions=emotion_passes, aspects=aspect_passes)
        _fine_tune(data, first, device, max_tokens, per_star, passes, seed)
    if not second.is_file():
        _refine(data, first, second, device, max_tokens, seed)
    trained = load_model(second)
    figures = tune_english(trained, data, device=device, max_tokens=max_tokens)
    save_model(out / FILE, trained)
    typer.echo(json.dumps(figures, indent=2))


def _fine_tune(
    data: Path, made: Path, device: str, max_tokens: int, per_star: int, passes: Passes, seed: int
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
        made.parent,
        made.name,
        settings={"max_tokens": max_tokens, "per_star": per_star, "passes": asdict(passes)},
        device=device,
    )


def _refine(data: Path, first: Path, made: Path, device: str, max_tokens: int, seed: int) -> None:
    trained = load_model(first)
    train_in_folder(
        trained,
        span_tasks(data, trained.tokenizer, max_tokens=max_tokens, seed=seed),
        FineTuning(
            learning_rate=5e-5,
            head_learning_rate=3e-4,
            distilled_share=0.5,
            seed=seed,
            bf16=device.startswith("cuda"),
        ),
        made.parent,
        made.name,
        settings={"stage": 2, "max_tokens": max_tokens},
        device=device,
        reference=fresh_model(DEFAULT_ENCODER).model,
    )


if __name__ == "__main__":
    typer.run(main)
