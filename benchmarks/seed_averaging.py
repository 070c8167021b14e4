"""`sentirec sentiment train --seeds`: the average of several models beside each of them.

python -m benchmarks.seed_averaging --data ../shared/data --work FOLDER [--seeds 3] [--json F]

A shop's own labels: clothing reviews with stars, of which the shipped model has read none. Each
model is trained on the same number of them, and all are tested on others. A single model of another
seed also keeps other texts for validation, as it would for a user; the average keeps those of
seed 0.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.harness import write
from benchmarks.review_models import class_probabilities, polarity_figures, star_class
from jobs.evaluate_sentiment import LabelledTexts
from jobs.sentiment_sources import Labelled, clothing
from jobs.train_shop_model import MODEL_FILE, ShopTraining, train_shop_model
from sentiment.head_tuning import run_texts
from sentiment.model_file import load_model
from sentiment.scorer import ENGLISH_MODEL
from sentiment.tasks import tokenise

_MAX_TOKENS = 128


def main(
    data: Annotated[Path, typer.Option(help="Folder that holds the data.")],
    work: Annotated[Path, typer.Option(help="Folder of the trainings; they go on where they are.")],
    num_train: Annotated[int, typer.Option(help="Texts a model is trained on.")] = 1500,
    num_test: Annotated[int, typer.Option(help="Texts all are tested on.")] = 4000,
    seeds: Annotated[int, typer.Option(help="Models in the average.")] = 3,
    epochs: Annotated[int, typer.Option(help="Passes at most.")] = 2,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    """Run the benchmark."""
    reviews = clothing(data)
    rows = np.random.default_rng(0).permutation(len(reviews.texts))
    train, test = rows[:num_train], rows[num_train : num_train + num_test]
    labelled = LabelledTexts(
        texts=[reviews.texts[row] for row in train], label=star_class(reviews.label[train])
    )
    runs = {f"seed {seed} alone": (seed, 1) for seed in range(seeds)}
    runs[f"average of {seeds}"] = (0, seeds)
    figures = {"as it ships": _figures(ENGLISH_MODEL, reviews, test)}
    for name, (seed, members) in runs.items():
        out = work / name.replace(" ", "-")
        if not (out / MODEL_FILE).exists():
            config = ShopTraining(epochs=epochs, seed=seed, seeds=members, max_tokens=_MAX_TOKENS)
            train_shop_model(lambda: load_model(ENGLISH_MODEL), labelled, out, config, device="cpu")
        figures[name] = _figures(out / MODEL_FILE, reviews, test)
    table = Table("", *next(iter(figures.values())), title=f"{num_train} clothing reviews")
    for name, of_run in figures.items():
        table.add_row(name, *(f"{value:,.4f}" for value in of_run.values()))
    Console().print(table)
    write(json, {"metrics": figures})


def _figures(file: Path, reviews: Labelled, test: np.ndarray) -> dict[str, float]:
    trained = load_model(file)
    ids = tokenise(trained.tokenizer, [reviews.texts[row] for row in test], _MAX_TOKENS)
    model = trained.model
    summary = run_texts(model, ids, "cpu").summary
    by_star = (model.stars(summary) / model.star_temperature).softmax(1).detach().numpy()
    label = reviews.label[test]
    by_class = class_probabilities(by_star)
    likelihood = by_class[np.arange(len(test)), star_class(label)]
    return polarity_figures(by_class, label) | {"log_loss": float(-np.log(likelihood).mean())}


if __name__ == "__main__":
    typer.run(main)
