"""Peers of RecTools on one data set, tuned on its validation part; runs in its own environment.

python rectools_peers.py FOLDER [--seconds 1200] [--only NAME ...]

FOLDER holds `validation/` and `test/`, each with `train.parquet` (`user_id, item_id, datetime`,
one row a user and item, strictly ordered within a user), `asked.parquet` (`user_id`) and
`targets.parquet` (`user_id, item_id`). Each peer tries the settings of its grid, in the order given
and until its seconds are over, on `validation/`; the best by NDCG@10 is fitted on `test/train` and
ranks the catalogue for everybody asked: `lists/NAME.parquet` (`user_id, item_id, rank` from 1),
and `lists/NAME.json` with all trials. What is there already is not done again.
"""

import argparse
import itertools
import json
import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import torch
from implicit.als import AlternatingLeastSquares
from implicit.bpr import BayesianPersonalizedRanking
from implicit.nearest_neighbours import BM25Recommender, CosineRecommender, TFIDFRecommender
from pytorch_lightning import Trainer
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import (
    EASEModel,
    ImplicitALSWrapperModel,
    ImplicitBPRWrapperModel,
    ImplicitItemKNNWrapperModel,
    PopularModel,
    SASRecModel,
)
from rectools.models.base import ModelBase

K = 200
SMALL_CATALOGUE = 2000
EPOCHS_A_STEP, PATIENCE, MOST_EPOCHS = 5, 2, 100
Settings = dict[str, Any]


def grid(**values: list[Any]) -> list[Settings]:
    """Return every combination, the last name turning fastest."""
    return [dict(zip(values, found, strict=True)) for found in itertools.product(*values.values())]


KNN = {"cosine": CosineRecommender, "tfidf": TFIDFRecommender, "bm25": BM25Recommender}
PEERS: dict[str, tuple[Callable[..., ModelBase], list[Settings]]] = {
    "popular": (lambda: PopularModel(), [{}]),
    "popular_of_days": (
        lambda days: PopularModel(period=timedelta(days=days)),
        grid(days=[7, 14, 30, 60, 90, 180, 365]),
    ),
    "item_knn": (
        lambda kind, neighbours: ImplicitItemKNNWrapperModel(KNN[kind](K=neighbours)),
        grid(neighbours=[20, 100, 500], kind=["cosine", "tfidf", "bm25"]),
    ),
    "ease": (
        lambda l2: EASEModel(regularization=l2, recommend_use_gpu_ranking=False),
        grid(l2=[500, 150, 50, 1500]),
    ),
    "als": (
        lambda factors, alpha, regularization: ImplicitALSWrapperModel(
            AlternatingLeastSquares(
                factors=factors, alpha=alpha, regularization=regularization, random_state=0
            )
        ),
        grid(factors=[64, 128], alpha=[1, 10, 40], regularization=[0.01, 1.0]),
    ),
    "bpr": (
        lambda factors, learning_rate, iterations: ImplicitBPRWrapperModel(
            BayesianPersonalizedRanking(
                factors=factors,
                learning_rate=learning_rate,
                iterations=iterations,
                random_state=0,
            )
        ),
        grid(factors=[64, 128], iterations=[100, 300], learning_rate=[0.01, 0.05]),
    ),
}
SASREC = grid(dropout_rate=[0.5, 0.2], n_factors=[128, 64], n_heads=[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=1200.0, help="Of tuning, each peer.")
    parser.add_argument("--only", nargs="*", default=[*PEERS, "sasrec"])
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    torch.manual_seed(0)
    lists = arguments.folder / "lists"
    lists.mkdir(exist_ok=True)
    for name in arguments.only:
        if (lists / f"{name}.json").exists():
            continue
        tune = tuned_sasrec if name == "sasrec" else lambda *a, name=name: tuned(name, *a)
        trials, found = tune(
            Part(arguments.folder / "validation"),
            Part(arguments.folder / "test"),
            arguments.seconds,
        )
        found.to_parquet(lists / f"{name}.parquet")
        (lists / f"{name}.json").write_text(json.dumps(trials, indent=1))
        best = max(trials, key=lambda trial: trial["ndcg@10"])
        print(f"{arguments.folder.name} {name}: {best} of {len(trials)}", flush=True)


class Part:
    """One question: what is known, who is asked, what is to be found."""

    def __init__(self, folder: Path) -> None:
        self.dataset = Dataset.construct(
            pd.read_parquet(folder / "train.parquet").assign(**{Columns.Weight: 1.0})
        )
        self.users = pd.read_parquet(folder / "asked.parquet")[Columns.User].to_numpy()
        targets = pd.read_parquet(folder / "targets.parquet")
        self.wanted = set(map(tuple, targets[[Columns.User, Columns.Item]].to_numpy().tolist()))
        counts = targets.groupby(Columns.User).size()
        ideal = np.cumsum(1 / np.log2(np.arange(10) + 2))
        self.ideal = {u: ideal[min(10, n) - 1] for u, n in counts.items()}

    def lists(self, model: ModelBase) -> pd.DataFrame:
        """Return the best K of everybody asked, bought items excluded."""
        found = self._recommended(model)
        # Of users with a single purchase a sequence model knows nothing.
        missing = np.setdiff1d(self.users, found[Columns.User])
        if len(missing):
            popular = self._recommended(PopularModel(period=timedelta(days=90)).fit(self.dataset))
            found = pd.concat([found, popular[popular[Columns.User].isin(missing)]])
        return found

    def _recommended(self, model: ModelBase) -> pd.DataFrame:
        found = model.recommend(
            self.users, self.dataset, k=K, filter_viewed=True, on_unsupported_targets="ignore"
        )
        return found[[Columns.User, Columns.Item, Columns.Rank]]

    def ndcg(self, found: pd.DataFrame) -> float:
        """Return mean binary NDCG@10 over everybody asked."""
        gained = 0.0
        top = found[found[Columns.Rank] <= 10]
        rows = zip(top[Columns.User], top[Columns.Item], top[Columns.Rank], strict=True)
        for user, item, rank in rows:
            if (user, item) in self.wanted:
                gained += 1 / np.log2(rank + 1) / self.ideal[user]
        return gained / len(self.users)


def tuned(
    name: str, validation: Part, test: Part, seconds: float
) -> tuple[list[Settings], pd.DataFrame]:
    """Return all trials, and lists of the best settings."""
    make, settings = PEERS[name]
    trials: list[Settings] = []
    start = time.perf_counter()
    for chosen in settings:
        if trials and time.perf_counter() - start > seconds:
            break
        begun = time.perf_counter()
        model = make(**chosen).fit(validation.dataset)
        quality = validation.ndcg(validation.lists(model))
        trials.append(
            {"settings": chosen, "ndcg@10": quality, "seconds": time.perf_counter() - begun}
        )
    best = max(trials, key=lambda trial: trial["ndcg@10"])
    return trials, test.lists(make(**best["settings"]).fit(test.dataset))


def tuned_sasrec(
    validation: Part, test: Part, seconds: float
) -> tuple[list[Settings], pd.DataFrame]:
    """Return all trials, and lists of the best settings and number of epochs.

    Training goes on, five epochs at a time, until validation has not gained twice.
    """
    trials: list[Settings] = []
    start = time.perf_counter()
    for chosen in SASREC:
        if trials and time.perf_counter() - start > seconds:
            break
        begun = time.perf_counter()
        best, since = {"epochs": 0, "ndcg@10": -1.0}, 0
        for epochs, model in sasrec_by_epochs(chosen, validation.dataset):
            quality = validation.ndcg(validation.lists(model))
            since += 1
            if quality > best["ndcg@10"]:
                best, since = {"epochs": epochs, "ndcg@10": quality}, 0
            print(chosen, epochs, round(quality, 5), round(time.perf_counter() - begun), flush=True)
            if since >= PATIENCE or (trials and time.perf_counter() - start > seconds):
                break
        trials.append({"settings": chosen, **best, "seconds": time.perf_counter() - begun})
    best = max(trials, key=lambda trial: trial["ndcg@10"])
    for epochs, model in sasrec_by_epochs(best["settings"], test.dataset):
        if epochs == best["epochs"]:
            return trials, test.lists(model)
    raise AssertionError(best)


def sasrec_by_epochs(settings: Settings, dataset: Dataset) -> Iterator[tuple[int, ModelBase]]:
    """Yield the number of epochs and the model, trained a few epochs longer each time."""
    rows = dataset.interactions.df
    length = int(rows.groupby(Columns.User).size().quantile(0.95))
    # Over a small catalogue all items are negatives; over a large one it would take hours.
    is_small = rows[Columns.Item].nunique() <= SMALL_CATALOGUE
    model = SASRecModel(
        **settings,
        n_blocks=2,
        session_max_len=min(max(length, 10), 50),
        loss="softmax" if is_small else "sampled_softmax",
        n_negatives=128,
        batch_size=128,
        get_trainer_func=quiet_trainer,
        recommend_torch_device="cpu",
    )
    for epochs in range(EPOCHS_A_STEP, MOST_EPOCHS + 1, EPOCHS_A_STEP):
        yield epochs, model.fit_partial(dataset, min_epochs=EPOCHS_A_STEP, max_epochs=EPOCHS_A_STEP)


def quiet_trainer() -> Trainer:
    return Trainer(
        max_epochs=EPOCHS_A_STEP,
        min_epochs=EPOCHS_A_STEP,
        accelerator="cpu",
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        logger=False,
    )


if __name__ == "__main__":
    main()
