"""How far signals in bf16 lie from those in fp32, on reviews that no model was trained on.

python -m benchmarks.sentiment_precision --data ../shared/data [--num 400] [--json F]

Musical instruments reviews in English, and held-out reviews of online shopping in Chinese. Spans
that only one of the two finds are counted apart; of those that both find, polarity and confidence
are compared. Stars are told as a share of their scale of four as well.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import polars as pl
import torch
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.harness import write
from jobs.sentiment_sources import held_out, online_shopping, unseen_reviews
from sentiment.products import can_pack
from sentiment.scorer import ReviewScorer, ScorerConfig

BOUND = 0.01
_NUMBERS = ("p_negative", "p_neutral", "p_positive", "polarity", "intensity", "stars_expected")
_SPAN = ("row", "aspect", "start", "end")


def apart(full: pl.DataFrame, half: pl.DataFrame) -> dict[str, np.ndarray]:
    """Return absolute differences of each signal between two frames of the same texts."""
    differences = {name: np.abs((full[name] - half[name]).to_numpy()) for name in _NUMBERS}
    differences["stars_expected / 4"] = differences["stars_expected"] / 4
    felt = (frame["emotions"].struct.unnest().to_numpy() for frame in (full, half))
    both = np.abs(np.subtract(*felt))
    differences["emotions"] = both[~np.isnan(both)]
    vectors = (np.array(frame["embedding"].drop_nulls().to_list()) for frame in (full, half))
    differences["embedding, each number"] = np.abs(np.subtract(*vectors)).ravel()
    shared = _aspects(full).join(_aspects(half), on=_SPAN)
    for name in ("polarity", "confidence"):
        differences[f"{name} of aspects"] = np.abs(
            (shared[name] - shared[f"{name}_right"]).to_numpy()
        )
    return differences


def changes(full: pl.DataFrame, half: pl.DataFrame) -> dict[str, int]:
    """Return how many decisions are not the same."""
    ours, theirs = _aspects(full), _aspects(half)
    return {
        "aspects": len(ours),
        "aspects that only fp32 finds": len(ours.join(theirs, on=_SPAN, how="anti")),
        "aspects that only bf16 finds": len(theirs.join(ours, on=_SPAN, how="anti")),
        "mixed": int((full["mixed"] != half["mixed"]).sum()),
        "texts whose needs differ": sum(
            a.to_list() != b.to_list() for a, b in zip(full["needs"], half["needs"], strict=True)
        ),
        "signs of polarity beyond 0.05": int(
            (
                (full["polarity"].abs() > 0.05)
                & (full["polarity"].sign() != half["polarity"].sign())
            ).sum()
        ),
    }


def _aspects(signals: pl.DataFrame) -> pl.DataFrame:
    rows = signals.select("aspects").with_row_index("row").explode("aspects").drop_nulls()
    return rows.unnest("aspects").unique(_SPAN, keep="first", maintain_order=True)


def main(
    data: Annotated[Path, typer.Option(help="Folder that holds the data.")],
    num: Annotated[int, typer.Option(help="Reviews of each language.")] = 400,
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 2,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    """Run the benchmark."""
    torch.set_num_threads(threads)
    shopping = online_shopping(data)
    chinese = [shopping.texts[row] for row in np.flatnonzero(held_out(shopping.texts))]
    chinese = [chinese[row] for row in np.random.default_rng(0).permutation(len(chinese))[:num]]
    full = ReviewScorer.load(ScorerConfig(precision="fp32"))
    half = ReviewScorer.load(ScorerConfig(precision="bf16"))
    console, figures = Console(width=100), {}
    for language, texts in (("English", unseen_reviews(data, num)), ("Chinese", chinese)):
        signals = full.score(texts), half.score(texts)
        table = Table("signal", "mean", "p99", "most", f"share above {BOUND}")
        table.title = f"{len(texts)} reviews, {language}"
        figures[language] = {"changes": changes(*signals)}
        for name, away in apart(*signals).items():
            told = {
                "mean": away.mean(),
                "p99": np.quantile(away, 0.99),
                "max": away.max(),
                "above": (away > BOUND).mean(),
            }
            figures[language][name] = {key: float(value) for key, value in told.items()}
            table.add_row(name, *(f"{told[key]:.4f}" for key in ("mean", "p99", "max", "above")))
        console.print(table, figures[language]["changes"])
    write(json, {"metrics": figures, "packed": can_pack()})


if __name__ == "__main__":
    typer.run(main)
