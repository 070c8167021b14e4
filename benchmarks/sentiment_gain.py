"""What texts add to stars on sample shops of known sentiment effect; at effect 0 it must vanish.

python -m benchmarks.sentiment_gain [--seeds 31 --seeds 32 ...] [--effects 0 --effects 1] [--json F]
"""

import dataclasses
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.harness import write
from features.store import Store
from features.visibility import hold_out
from jobs.config import Config
from jobs.ingest_tables import ingest
from jobs.load_shop import load_shop
from jobs.ray_session import ray_session
from jobs.sample_shop import ShopConfig, generate_shop, write_shop
from jobs.score_reviews import score
from jobs.settings import score_config
from recsys.satisfaction import SentimentGain, sentiment_gain


def measure(seed: int, effect: float) -> SentimentGain:
    """Generate, ingest and score one shop, and measure the gain on its held-out purchases."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_shop(generate_shop(ShopConfig(seed=seed, sentiment_effect=effect)), folder / "shop")
        store = Store(folder / "store")
        files = sorted(path for path in (folder / "shop").iterdir() if path.is_file())
        ingest(store, files, now=datetime.now(UTC))
        scored = score(store, score_config(Config()))
        shop = load_shop(store, scored.model_version)
    cuts = [hold_out(shop.events, shop.reviews, offset=offset) for offset in (1, 2)]
    gain = sentiment_gain(cuts, shop.reviews, shop.signals.lazy())
    assert gain is not None
    return gain


def main(
    seeds: Annotated[list[int], typer.Option(help="Shop seeds.")] = [31, 32, 33],  # noqa: B006
    effects: Annotated[list[float], typer.Option(help="Sentiment effects.")] = [0, 1, 2],  # noqa: B006
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    """Run the benchmark."""
    console = Console(width=110)
    table = Table(title="R2 of the stars of held-out purchases")
    columns = ("effect", "seed", "stars", "with sentiment", "gain", "95% interval", "purchases")
    for column in columns:
        table.add_column(column, justify="right")
    rows: list[dict[str, Any]] = []
    with ray_session():
        for effect in effects:
            for seed in seeds:
                gain = measure(seed, effect)
                rows.append({"effect": effect, "seed": seed, **dataclasses.asdict(gain)})
                table.add_row(
                    f"{effect:g}",
                    str(seed),
                    f"{gain.r2_stars:.4f}",
                    f"{gain.r2_stars_and_signals:.4f}",
                    f"{gain.gain:+.4f}",
                    f"{gain.low:+.4f} .. {gain.high:+.4f}",
                    f"{gain.num_purchases:,}",
                )
                console.print(f"effect {effect:g}, seed {seed}: {gain.gain:+.4f}")
    console.print(table)
    write(json, {"rows": rows})


if __name__ == "__main__":
    typer.run(main)
