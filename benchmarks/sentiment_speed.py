"""How fast reviews are scored, beside the bare encoder and beside two separate pipelines.

python -m benchmarks.sentiment_speed --data ../shared/data [--num 600] [--repeats 3]
    [--precision auto|fp32|bf16] [--processor-time] [--json F]

All on the same musical instruments reviews, on one device, in the same process, taking turns:
`signals` is `ReviewScorer.score` with everything around the model, in the precision asked for and,
where that is bf16, in fp32 too; `encoder` is the bare forward pass of the same encoder over ready
token ids in batches sorted by length, as transformers runs it (fp32) and under torch's autocast to
bf16; `two pipelines` is `sentence-transformers` `encode` with its defaults followed by a
`transformers` classification pipeline of the same size, also with its defaults (left out where
sentence-transformers is not installed: `pip install --no-deps sentence-transformers`). A tenth of
the texts warms each up.

On a machine that others use, too, time by the clock tells of them. `--processor-time` counts what
this process takes of its cores; with one thread, since threads that wait for each other are busy.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.harness import spread, write
from jobs.sentiment_sources import unseen_reviews
from sentiment.batching import padded, token_budget_batches
from sentiment.cleaning import clean_text
from sentiment.encoder import load_base
from sentiment.encoder_files import DEFAULT_ENCODER, locate_encoder
from sentiment.reader_config import Precision
from sentiment.scorer import ReviewScorer, ScorerConfig
from sentiment.tasks import tokenise

Run = Callable[[list[str]], object]


def bare_encoder(config: ScorerConfig, texts: list[str], *, bf16: bool) -> Run:
    """Return what runs the base encoder alone; tokens and batches are made beforehand.

    It reads the same tokens as the product: of a text longer than a window all of them, in pieces.
    """
    encoder, tokenizer = load_base(DEFAULT_ENCODER)
    encoder.to(config.device).eval()
    room = config.max_tokens - 2
    pieces = {}
    for text in texts:
        ids = tokenise(tokenizer, [clean_text(text)], config.max_windows * room + 2)[0]
        inner = ids[1:-1]
        pieces[text] = [
            [ids[0], *inner[start : start + room], ids[-1]]
            for start in range(0, max(1, len(inner)), room)
        ]

    @torch.inference_mode()
    def run(some: list[str]) -> None:
        ids = [piece for text in some for piece in pieces[text]]
        lengths = np.array([len(row) for row in ids])
        for rows in token_budget_batches(lengths, config.tokens_a_batch):
            ids_BL, mask_BL = padded([ids[row] for row in rows], config.device)
            with torch.autocast(config.device_type, torch.bfloat16, enabled=bf16):
                encoder(input_ids=ids_BL, attention_mask=mask_BL)
        if config.device.startswith("cuda"):
            torch.cuda.synchronize()

    return run


def two_pipelines(device: str) -> Run | None:
    """Return an embedding and then a classification, each with the defaults of its library."""
    if find_spec("sentence_transformers") is None:
        return None
    from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found]
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

    where, _ = locate_encoder(DEFAULT_ENCODER)
    embedder = SentenceTransformer(where, device=device)
    model = AutoModelForSequenceClassification.from_pretrained(where, num_labels=3)
    classify = pipeline(
        "text-classification",
        model=model,
        tokenizer=AutoTokenizer.from_pretrained(where),
        device=device,
    )

    def run(some: list[str]) -> None:
        embedder.encode(some)
        classify(some, truncation=True)

    return run


def main(
    data: Annotated[Path, typer.Option(help="Folder that holds the data.")],
    num: Annotated[int, typer.Option(help="Reviews.")] = 600,
    repeats: Annotated[int, typer.Option(help="Turns.")] = 3,
    device: Annotated[str, typer.Option(help="Torch device.")] = "cpu",
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 2,
    precision: Annotated[Precision, typer.Option(help="Of the product's signals.")] = "auto",
    processor_time: Annotated[bool, typer.Option(help="In place of the clock's.")] = False,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    """Run the benchmark."""
    if processor_time and threads != 1:
        raise typer.BadParameter("--processor-time is for --threads 1")
    clock = time.process_time if processor_time else time.perf_counter
    torch.set_num_threads(threads)
    texts = unseen_reviews(data, num)
    config = ScorerConfig(device=device, precision=precision)
    signals = ReviewScorer.load(config).score
    runs: dict[str, Run | None] = {
        "signals": signals,
        "encoder": bare_encoder(config, texts, bf16=False),
        "two pipelines": two_pipelines(device),
    }
    if config.bf16:
        runs |= {
            "signals in fp32": ReviewScorer.load(replace(config, precision="fp32")).score,
            "encoder under autocast": bare_encoder(config, texts, bf16=True),
        }
    seconds: dict[str, list[float]] = {name: [] for name, run in runs.items() if run is not None}
    for turn in range(repeats + 1):
        for name, run in runs.items():
            if run is None:
                continue
            some = texts if turn else texts[: max(1, num // 10)]
            start = clock()
            run(some)
            if turn:
                seconds[name].append(clock() - start)
    rates = {name: spread([num / second for second in taken]) for name, taken in seconds.items()}
    title = f"{num} reviews, {device}, {config.precision_name}, {threads} threads"
    table = Table("reviews a second", "median", "least", "most", title=title)
    for name, rate in rates.items():
        table.add_row(name, *(f"{rate[key]:.1f}" for key in ("median", "min", "max")))
    ratios = {
        f"signals to {name}": spread(
            [other / own for own, other in zip(seconds["signals"], taken, strict=True)]
        )
        for name, taken in seconds.items()
        if name != "signals"
    }
    for name, ratio in ratios.items():
        table.add_row(name, *(f"{ratio[key]:.2f}" for key in ("median", "min", "max")))
    console = Console(width=100)
    console.print(table)
    one = [clean_text(text)[:200] for text in texts[:60]]
    waits = []
    for text in one:
        start = clock()
        signals([text])
        waits.append(1e3 * (clock() - start))
    alone = {"p50_ms": float(np.median(waits)), "p95_ms": float(np.quantile(waits, 0.95))}
    console.print(f"one text of 200 characters alone: {alone}")
    metrics = {"reviews_per_second": rates, "ratios": ratios, "one_text": alone}
    write(json, {"metrics": metrics, "precision": config.precision_name})


if __name__ == "__main__":
    typer.run(main)
