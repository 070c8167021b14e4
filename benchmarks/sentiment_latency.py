"""How long one text takes: `POST /v1/sentiment`, the scorer alone, and the service doing nothing.

python -m benchmarks.sentiment_latency --data ../shared/data [--url http://127.0.0.1:8000]
    [--num 100] [--json F]

`sentirec serve` is to run at the address. Texts are the beginnings of musical instruments reviews,
one request after another over one connection. The scorer alone runs in this process, `healthz` is
what the service and its proxy take without a model. The three take turns, a block of texts each:
between single texts the threads of the scorer here would still be waiting, busily, for their next.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import httpx
import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.harness import write
from jobs.sentiment_sources import unseen_reviews
from sentiment.cleaning import clean_text
from sentiment.scorer import ReviewScorer, ScorerConfig

_LENGTHS = (50, 200, 500)
_WARM = 10
_ROUNDS = 3
_MOST_REVIEWS = 5000


def main(
    data: Annotated[Path, typer.Option(help="Folder that holds the data.")],
    url: Annotated[str, typer.Option(help="Where the service is.")] = "http://127.0.0.1:8000",
    num: Annotated[int, typer.Option(help="Texts of each length.")] = 100,
    threads: Annotated[int, typer.Option(help="CPU threads of the scorer alone.")] = 2,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    """Run the benchmark."""
    torch.set_num_threads(threads)
    texts = map(clean_text, unseen_reviews(data, _MOST_REVIEWS))
    reviews = [text for text in texts if len(text) >= max(_LENGTHS)][: num + _WARM]
    if len(reviews) < num + _WARM:
        raise typer.BadParameter(f"there are {len(reviews) - _WARM} texts of that length")
    scorer = ReviewScorer.load(ScorerConfig())
    table = Table(
        "milliseconds", "characters", "p50", "p95", title=f"one text, {_ROUNDS} times {num}"
    )
    figures = {}
    with httpx.Client(base_url=url, timeout=60) as client:

        def post(text: str) -> None:
            client.post("/v1/sentiment", json={"text": text}).raise_for_status()

        def healthz(text: str) -> None:
            client.get("/healthz").raise_for_status()

        runs: dict[str, Callable[[str], object]] = {
            "POST /v1/sentiment": post,
            "scorer alone": lambda text: scorer.score([text]),
            "GET /healthz": healthz,
        }
        for length in _LENGTHS:
            waits: dict[str, list[float]] = {name: [] for name in runs}
            for _ in range(_ROUNDS):
                for name, run in runs.items():
                    waits[name] += _block(run, [review[:length] for review in reviews])
            for name, taken in waits.items():
                p50, p95 = np.quantile(taken, [0.5, 0.95])
                figures[f"{name}, {length}"] = {"p50_ms": float(p50), "p95_ms": float(p95)}
                table.add_row(name, str(length), f"{p50:.1f}", f"{p95:.1f}")
    Console(width=100).print(table)
    write(json, {"metrics": figures})


def _block(run: Callable[[str], object], texts: list[str]) -> list[float]:
    """Return milliseconds a text, the first few left out."""
    waits = []
    for text in texts:
        start = time.perf_counter()
        run(text)
        waits.append(1e3 * (time.perf_counter() - start))
    return waits[_WARM:]


if __name__ == "__main__":
    typer.run(main)
