"""Train the Chinese review model that ships: pretrain an encoder of characters, then fine-tune it.

Several members are fine-tuned in other orders; the mean of their weights learns from the mean of
what they say of all texts, most of which have no label, and is averaged with itself after some more
steps on needs. Run as
`python -m jobs.train_chinese_model --data ../shared/data --out runs/zh`. Stopped and started again,
it goes on from its last checkpoint. A tenth of every source, chosen by a hash of the text, is
read by none of the steps.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import polars as pl
import torch
import typer
from tokenizers import Tokenizer

from jobs.pretrain_encoder import pretrain_encoder
from jobs.review_tasks import labelled_needs_task, texts_to_teach
from jobs.review_training import averaged, train_in_folder
from jobs.sentiment_sources import (
    evened,
    held_out,
    online_shopping,
    star_sets,
    weibo_emotions,
    without,
)
from jobs.term_sources import chinese_aspect_terms, dianping_terms, shampoo_opinions, stars_of_terms
from jobs.tune_review_model import rows_of_terms, tune_chinese
from sentiment.cleaning import clean_text
from sentiment.encoder import load_base
from sentiment.finetuning import FineTuning
from sentiment.model_file import TrainedModel, load_model, save_model
from sentiment.pretraining import EncoderShape, Pretraining
from sentiment.review_model import ReviewModel, ReviewModelConfig
from sentiment.tasks import EmotionTask, StarTask, Task, aspect_task, halves_task, tokenise
from sentiment.teaching import teach
from sentiment.torch_threads import use_threads
from sentiment.training import star_mask

FILE = "zh_review_model.safetensors"
RAW = "trained.safetensors"
_TAUGHT, _SETTLED = "taught", "settled"
# Classes of the Weibo labels, and the stars that stand for them; surprise can be either.
_STARS_OF_LABEL = {"happy": (4, 5), "neutral": (3,), "surprise": (1, 2, 3, 4, 5)}
_UNPLEASANT = (1, 2)
# Few and short sentences with terms are read more often.
_TERM_PASSES = 6
_DIANPING_PASSES = 3
_OPINION_PASSES = 2
_NEED_PASSES = 6
# Of the last step, in which a pass reads a tenth of the texts.
_SETTLED_NEED_PASSES = 60


def seen(texts: list[str]) -> list[str]:
    """Return the texts that may be trained on."""
    out = held_out(texts)
    return [text for text, left in zip(texts, out, strict=True) if not left]


def pretraining_texts(data: Path) -> list[str]:
    """Return distinct Chinese texts of every source."""
    unlabelled = pl.read_csv(data / "reviews_zh/eprstmt.csv.gz")["text"]
    noisy = pl.read_csv(data / "reviews_zh/ecommerce_reviews_noisy.csv.gz")["review"]
    texts = [clean_text(text) for text in (*unlabelled.drop_nulls(), *noisy.drop_nulls())]
    texts += online_shopping(data).texts + weibo_emotions(data).texts
    texts += chinese_aspect_terms(data).texts + shampoo_opinions(data).texts
    texts += dianping_terms(data, "train").texts
    return [text for text in seen(list(dict.fromkeys(texts))) if text]


def chinese_tasks(data: Path, tokenizer: Tokenizer, *, max_tokens: int, passes: int) -> list[Task]:
    """Return every task of the Chinese model; shop reviews are read `passes` times."""
    shop = online_shopping(data)
    shop = evened(without(shop, held_out(shop.texts)))
    of_stars = StarTask(
        name=shop.name,
        ids=tokenise(tokenizer, shop.texts, max_tokens),
        mask=star_mask(star_sets(replace(shop, label=shop.label * 2 + 1))),
    )
    felt = weibo_emotions(data)
    kept = np.flatnonzero(~held_out(felt.texts))
    stars = star_mask([_STARS_OF_LABEL.get(name, _UNPLEASANT) for name in felt.names])
    of_emotions = EmotionTask(
        name="weibo",
        ids=tokenise(tokenizer, [felt.texts[row] for row in kept], max_tokens),
        labels=felt.labels[kept],
        stars=stars[felt.labels[kept].argmax(1)],
    )
    tasks: list[Task] = [of_stars, of_emotions] * passes
    for name, terms, times in (
        ("aspects", chinese_aspect_terms(data), _TERM_PASSES),
        ("dianping", dianping_terms(data, "train"), _DIANPING_PASSES),
        ("shampoo", shampoo_opinions(data), _OPINION_PASSES),
    ):
        kept_terms = rows_of_terms(terms, False)
        task = aspect_task(
            name,
            tokenizer,
            kept_terms.texts,
            kept_terms.spans,
            max_tokens=max_tokens,
            every_term=name != "shampoo",
            stars=stars_of_terms(kept_terms),
        )
        tasks += [task] * times
    needs = labelled_needs_task(data, tokenizer, "zh", max_tokens=max_tokens)
    tasks += [needs] * _NEED_PASSES
    halves = [
        *seen(online_shopping(data).texts)[::2],
        *seen(dianping_terms(data, "train").texts),
    ]
    return [*tasks, halves_task("halves", tokenizer, halves, max_tokens=max_tokens, weight=0.5)]


def settling_tasks(data: Path, tokenizer: Tokenizer, *, max_tokens: int) -> list[Task]:
    """Return each task of the model once, and needs, of which there are few labels, often."""
    needs = labelled_needs_task(data, tokenizer, "zh", max_tokens=max_tokens)
    tasks = chinese_tasks(data, tokenizer, max_tokens=max_tokens, passes=1)
    others = {task.name: task for task in tasks if task.name != needs.name}
    return [*others.values(), *[needs] * _SETTLED_NEED_PASSES]


def main(
    data: Annotated[Path, typer.Option(help="Folder that holds the training data.")],
    out: Annotated[Path, typer.Option(help="Folder of checkpoints and of the finished weights.")],
    device: Annotated[str, typer.Option(help="Torch device.")] = "cpu",
    max_tokens: Annotated[int, typer.Option(help="Longest text that is read.")] = 128,
    epochs: Annotated[int, typer.Option(help="Passes of the pretraining.")] = 5,
    passes: Annotated[int, typer.Option(help="Passes over labelled reviews and posts.")] = 2,
    members: Annotated[int, typer.Option(min=1, help="Models that teach the one.")] = 2,
    member_share: Annotated[float, typer.Option(help="Of the texts, a pass of a member.")] = 0.65,
    taught_share: Annotated[float, typer.Option(help="Of the texts, a pass at the end.")] = 0.5,
    settled_share: Annotated[
        float, typer.Option(min=0.0, help="Of the texts, a pass of the last step; 0 leaves it out.")
    ] = 0.1,
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 2,
    seed: Annotated[int, typer.Option(help="Of order, masks and initial weights.")] = 0,
) -> None:
    """Train, or go on training."""
    use_threads(threads)
    bf16 = device.startswith("cuda")
    encoder_folder = out / "encoder"
    if not (encoder_folder / "model.safetensors").is_file():
        pretrain_encoder(
            pretraining_texts(data),
            encoder_folder,
            EncoderShape(max_tokens=max(max_tokens, 128)),
            Pretraining(epochs=epochs, batch_tokens=8192, bf16=bf16, seed=seed),
            device=device,
            progress=lambda done, total: _say("pretrain", done, total),
        )
    finished = [out / f"member-{member}" / RAW for member in range(members)]
    for member, made in enumerate(finished):
        if not made.is_file():
            trained = _fresh(data, encoder_folder, seed)
            tasks = chinese_tasks(data, trained.tokenizer, max_tokens=max_tokens, passes=passes)
            config = _fine_tuning(seed + member, 2e-4, member_share, bf16)
            settings = {"max_tokens": max_tokens, "passes": passes}
            _train(trained, tasks, made, config, settings, device)
    taught = out / _TAUGHT / RAW
    if members > 1 and not taught.is_file():
        config = _fine_tuning(seed, 1e-4, taught_share, bf16)
        _learn(data, finished, taught, config, device, max_tokens, passes)
    trained = load_model(taught if members > 1 else finished[0])
    if settled_share:
        settled = out / _SETTLED / RAW
        if not settled.is_file():
            begun = load_model(taught if members > 1 else finished[0])
            tasks = settling_tasks(data, trained.tokenizer, max_tokens=max_tokens)
            config = _fine_tuning(seed, 1e-4, settled_share, bf16)
            _train(begun, tasks, settled, config, {"max_tokens": max_tokens}, device)
        trained = averaged([trained, load_model(settled)])
    figures = tune_chinese(trained, data, device=device, max_tokens=max_tokens)
    save_model(out / FILE, trained)
    typer.echo(json.dumps(figures, indent=2))


def _fresh(data: Path, encoder_folder: Path, seed: int) -> TrainedModel:
    encoder, tokenizer = load_base(str(encoder_folder))
    torch.manual_seed(seed)
    names = tuple(weibo_emotions(data).names)
    model = ReviewModel(encoder, ReviewModelConfig(emotions=names, own_words=True))
    return TrainedModel(model=model, tokenizer=tokenizer, base=None)


def _learn(
    data: Path,
    members: list[Path],
    made: Path,
    config: FineTuning,
    device: str,
    max_tokens: int,
    passes: int,
) -> None:
    """Train the mean of the members' weights on what they say, and on the labels."""
    models = [load_model(member) for member in members]
    tokenizer = models[0].tokenizer
    texts = texts_to_teach("texts", tokenizer, pretraining_texts(data), max_tokens=max_tokens)
    teachers = [one.model for one in models]
    said = teach(teachers, texts, device=device, bf16=config.bf16)
    _train(
        averaged(models),
        [said, *chinese_tasks(data, tokenizer, max_tokens=max_tokens, passes=passes)],
        made,
        config,
        {"max_tokens": max_tokens, "passes": passes, "members": len(members)},
        device,
    )


def _fine_tuning(seed: int, rate: float, share: float, bf16: bool) -> FineTuning:
    return FineTuning(
        learning_rate=rate,
        head_learning_rate=5e-4,
        batch_tokens=2048,
        distilled_share=0.0,
        share=share,
        bf16=bf16,
        seed=seed,
    )


def _train(
    trained: TrainedModel,
    tasks: Sequence[Task],
    made: Path,
    config: FineTuning,
    settings: dict[str, Any],
    device: str,
) -> None:
    train_in_folder(
        trained,
        tasks,
        config,
        made.parent,
        made.name,
        settings=settings,
        device=device,
        progress=lambda done, total: _say(made.parent.name, done, total),
    )


def _say(what: str, done: int, total: int) -> None:
    if done % 50 == 0 or done == total:
        typer.echo(f"{what} {done}/{total}")


if __name__ == "__main__":
    typer.run(main)
