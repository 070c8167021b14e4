"""What sentiment adds to recommendations: four arms that know more and more of how purchases felt.

python -m benchmarks.sentiment_arms --reviews FILE | --shop SEED [--effect 1] [--seeds 5]
    [--work FOLDER] [--json F]

    neither    no stars, and no signal but the language and the embedding of a text
    stars      stars; signals as stars alone would tell them
    real       stars and what the texts say
    shuffled   stars, and signals dealt out anew among reviews of as many stars and one language

Embeddings of texts stay in all arms, so that what differs is feeling, not content. Every arm is
fitted and tested as a whole; how the tested purchases went is told by the stars of the real tables
in all arms. The claim is real less stars; shuffled shows what chance would have made of it. Values
of a user are means over seeds; intervals are paired, over users.
"""

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import polars as pl
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.fits import fit_with_seed, scored_files
from benchmarks.harness import write
from benchmarks.sample_shops import scored_shop
from features.opinion import polarity_of_stars
from features.visibility import hold_out
from jobs.ray_session import ray_session
from recsys.evaluation import Evaluated
from recsys.grades import BOUGHT, DISLIKED
from recsys.intervals import paired_difference
from recsys.satisfaction_metrics import regret, satisfaction_ndcg, satisfaction_of
from recsys.world import ShopTables, World, build_world

_KEPT = ("review_id", "model_version", "language", "embedding", "truncated")
_PAIRS = (("real", "stars"), ("stars", "neither"), ("real", "shuffled"), ("shuffled", "stars"))
METRICS = ("ndcg@10", "satisfaction_ndcg@10", "regret@10")
Values = dict[str, np.ndarray]


def neither(shop: ShopTables, seed: int) -> ShopTables:
    """Nothing is known of how a purchase felt."""
    reviews = shop.reviews.with_columns(rating=pl.lit(None, dtype=pl.Float32))
    signals = _as_stars_tell(shop.signals.with_columns(rating=pl.lit(3.0)))
    return dataclasses.replace(shop, reviews=reviews, signals=signals)


def stars(shop: ShopTables, seed: int) -> ShopTables:
    """Signals say what stars say; of reviews without stars, nothing."""
    ratings = shop.reviews.select("review_id", rating=pl.col("rating").fill_null(3.0))
    return dataclasses.replace(
        shop, signals=_as_stars_tell(shop.signals.join(ratings, on="review_id"))
    )


def shuffled(shop: ShopTables, seed: int) -> ShopTables:
    """Signals are those of another review of as many stars in the same language."""
    ratings = shop.reviews.select("review_id", "rating")
    of_reviews = shop.signals.join(ratings, on="review_id").sort("review_id")
    told = [name for name in shop.signals.columns if name not in _KEPT]
    dealt = (
        of_reviews.with_row_index("place")
        .group_by("rating", "language", maintain_order=True)
        .map_groups(
            lambda group: group.with_columns(
                group.select(told).sample(fraction=1.0, shuffle=True, seed=seed)
            )
        )
        .sort("place")
    )
    return dataclasses.replace(shop, signals=dealt.select(shop.signals.columns))


ARMS: dict[str, Callable[[ShopTables, int], ShopTables]] = {
    "neither": neither,
    "stars": stars,
    "real": lambda shop, seed: shop,
    "shuffled": shuffled,
}


def _as_stars_tell(signals: pl.DataFrame) -> pl.DataFrame:
    """Replace every signal by what `rating` alone would say."""
    schema = signals.drop("rating").schema
    felt = polarity_of_stars(pl.col("rating"))
    columns = {
        "polarity": felt,
        "p_positive": felt.clip(lower_bound=0.0),
        "p_negative": (-felt).clip(lower_bound=0.0),
        "p_neutral": 1.0 - felt.abs(),
        "intensity": felt.abs(),
        "stars_expected": pl.col("rating"),
        "mixed": pl.lit(False),
        "emotions": pl.lit(None),
        "aspects": pl.lit([]),
        "needs": pl.lit([]),
    }
    plain = {name: value.cast(schema[name]) for name, value in columns.items()}
    return signals.with_columns(**plain).select(schema.names())


def values_of(measured: Evaluated, truth: World) -> Values:
    """Return the metrics of each asked user, by how their purchases really went."""
    ranks = np.split(measured.ranks, truth.target_indptr[1:-1])
    grades = np.split(truth.target_grade, truth.target_indptr[1:-1])
    pairs = list(zip(ranks, grades, strict=True))
    return {
        "ndcg@10": measured.ndcg,
        "satisfaction_ndcg@10": np.array(
            [satisfaction_ndcg(r, satisfaction_of(g), 10) for r, g in pairs]
        ),
        "regret@10": np.array([regret(r[g == DISLIKED], 10) for r, g in pairs]),
    }


def run(shop: ShopTables, num_seeds: int, work: Path, console: Console) -> dict[str, Values]:
    """Fit every arm with every seed, and return values by arm, means over seeds.

    Values of each fit are kept in `work`, from where a run that was stopped takes them.
    """
    truth = build_world(shop, hold_out(shop.events, shop.reviews, offset=1))
    runs: dict[str, list[Values]] = {arm: [] for arm in ARMS}
    for seed in range(num_seeds):
        for arm, make in ARMS.items():
            kept = work / f"{arm}-{seed}.npz"
            if not kept.exists():
                fitted = fit_with_seed(make(shop, seed), seed)
                assert (fitted.test.target_item == truth.target_item).all()
                values = values_of(fitted.evaluated["ranker"], truth)
                np.savez(kept, allow_pickle=False, **values)
            with np.load(kept) as read:
                runs[arm].append(dict(read))
            told = {name: round(float(v.mean()), 5) for name, v in runs[arm][-1].items()}
            console.print(f"{arm}, seed {seed}: {told}")
    known = (truth.target_grade != BOUGHT).mean()
    console.print(f"of {known:.0%} of the tested purchases it is known how they went")
    return {
        arm: {name: np.mean([values[name] for values in of_arm], axis=0) for name in METRICS}
        for arm, of_arm in runs.items()
    }


def main(
    reviews: Annotated[Path | None, typer.Option(help="A file that `ingest` reads.")] = None,
    shop: Annotated[int | None, typer.Option(help="Seed of a sample shop instead.")] = None,
    effect: Annotated[float, typer.Option(help="Sentiment effect of the sample shop.")] = 1.0,
    seeds: Annotated[int, typer.Option(help="Fits of each arm.")] = 5,
    work: Annotated[
        Path | None, typer.Option(help="Keep each fit here, and take up again what was stopped.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    """Run the benchmark."""
    console = Console(width=130)
    with ray_session():
        tables = scored_files([reviews]) if reviews else scored_shop(shop or 0, effect)
    name = reviews.name if reviews else f"sample shop {shop}, effect {effect:g}"
    with tempfile.TemporaryDirectory() as folder:
        kept = work or Path(folder)
        kept.mkdir(parents=True, exist_ok=True)
        found = run(tables, seeds, kept, console)
    gains = {
        f"{one} less {other}": {
            metric: dataclasses.asdict(paired_difference(found[one][metric], found[other][metric]))
            for metric in METRICS
        }
        for one, other in _PAIRS
    }
    table = Table(title=f"{name}: {seeds} seeds, {len(found['real']['ndcg@10']):,} users")
    for column in ("", *METRICS):
        table.add_column(column, justify="left" if column == "" else "right")
    for arm, values in found.items():
        table.add_row(arm, *(f"{values[metric].mean():.4f}" for metric in METRICS))
    for pair, of_metrics in gains.items():
        cells = (
            f"{g['difference']:+.4f} ({g['low']:+.4f}..{g['high']:+.4f})"
            for g in of_metrics.values()
        )
        table.add_row(pair, *cells)
    console.print(table)
    means = {arm: {m: float(v.mean()) for m, v in of_arm.items()} for arm, of_arm in found.items()}
    write(json, {"data": name, "seeds": seeds, "means": means, "gains": gains})


if __name__ == "__main__":
    typer.run(main)
