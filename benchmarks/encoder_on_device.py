"""The review model's pass on one device: reviews a second, and its share of the matrix rate.

python -m benchmarks.encoder_on_device --data ../shared/data --device cuda [--json F]

Token ids are made beforehand and lie on the device, in batches of similar length. A pass is the
encoder, the heads of whole texts, the tags of every token and the embedding. What it has to
multiply is counted from its shape and the texts' true lengths, so padding counts as waste; the
device's own rate is that of one large product of random bf16 matrices in the same run.
"""

import copy
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.harness import spread, write
from jobs.sentiment_sources import product_reviews, unseen_reviews
from sentiment.batching import padded, token_budget_batches
from sentiment.model_file import load_model
from sentiment.review_model import ReviewModel
from sentiment.scorer import ENGLISH_MODEL
from sentiment.tasks import tokenise


def matrix_rate(device: str, size: int, repeats: int) -> float:
    """Return operations a second of a product of square bf16 matrices, the median of some."""
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * size**3 / spread(seconds(lambda: a @ b, device, repeats))["median"]


def seconds(run: Callable[[], Any], device: str, repeats: int) -> list[float]:
    """Return how long a run takes, after one that does not count."""
    taken = []
    for repeat in range(repeats + 1):
        start = time.perf_counter()
        run()
        if torch.device(device).type == "cuda":
            torch.cuda.synchronize(device)
        if repeat:
            taken.append(time.perf_counter() - start)
    return taken


def operations(model: ReviewModel, lengths: np.ndarray) -> float:
    """Return multiplications and additions of the layers for texts of some lengths, in all."""
    shape: Any = model.encoder.config
    width, inner = shape.hidden_size, shape.intermediate_size
    of_token = 2 * (4 * width * width + 2 * width * inner)
    of_pairs = 4 * lengths.astype(np.float64) ** 2 * width
    return float(shape.num_hidden_layers * (of_token * lengths + of_pairs).sum())


@torch.inference_mode()
def main(
    data: Annotated[Path, typer.Option(help="Folder that holds the data.")],
    device: Annotated[str, typer.Option(help="Torch device.")] = "cuda",
    num: Annotated[int, typer.Option(help="Reviews.")] = 10_000,
    size: Annotated[int, typer.Option(help="Width of the matrices of the rate.")] = 8192,
    repeats: Annotated[int, typer.Option(help="Passes that count.")] = 5,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    """Run the benchmark."""
    trained = load_model(ENGLISH_MODEL)
    model, rate = trained.model.to(device).eval(), matrix_rate(device, size, repeats)
    texts = (unseen_reviews(data, 2000) + product_reviews(data).texts)[:num]
    ids = tokenise(trained.tokenizer, texts, 256)
    lengths = np.array([len(row) for row in ids])
    work = operations(model, lengths)
    table = Table("precision", "tokens a batch", "reviews a second", "share of the matrix rate")
    figures: dict[str, Any] = {"matrix_rate": rate, "reviews": len(ids), "operations": work}
    for name, of_kind in (("fp32", model), ("bf16", copy.deepcopy(model).bfloat16())):
        for budget in (16_384, 65_536, 262_144):
            rows = token_budget_batches(lengths, budget)
            batches = [padded([ids[row] for row in batch], device) for batch in rows]

            def run(model: ReviewModel = of_kind, batches: list[Any] = batches) -> None:
                for ids_BL, mask_BL in batches:
                    encoded = model.encode(ids_BL, mask_BL)
                    model.stars(encoded.summary_BX)
                    model.emotions(encoded.summary_BX)
                    model.tags(encoded.tokens_BLD)
                    model.embed(encoded)

            taken = spread(seconds(run, device, repeats))
            share = work / taken["median"] / rate
            figures[f"{name} {budget}"] = {"seconds": taken, "share_of_matrix_rate": share}
            table.add_row(name, f"{budget:,}", f"{len(ids) / taken['median']:,.0f}", f"{share:.3f}")
    Console().print(f"{device}: {rate / 1e12:,.2f} TFLOP/s of a bf16 product of {size}")
    Console().print(table)
    write(json, {"metrics": figures})


if __name__ == "__main__":
    typer.run(main)
