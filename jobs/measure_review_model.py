"""Figures of a trained review model on rows it never saw, all from one checkpoint.

Run as `python -m jobs.measure_review_model --data ../shared/data --weights FILE [--json F]`.
Temperature and thresholds are chosen on a part of the training sources' held-out tenth and of the
GoEmotions training split; what they are measured on is something else.
"""

import json as json_module
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from scipy.special import expit, softmax
from tokenizers import Tokenizer

from jobs.sentiment_sources import (
    amazon_polarity,
    clothing,
    emotions,
    held_out,
    musical_instruments,
    office_products,
    product_reviews,
    without,
)
from jobs.train_review_model import held_out_terms
from jobs.train_sentiment import star_figures
from sentiment.batching import token_budget_batches
from sentiment.decoding import tag_spans
from sentiment.encoder_files import DEFAULT_ENCODER, locate_encoder
from sentiment.finetuning import padded
from sentiment.metrics import (
    best_thresholds,
    label_f1,
    neighbour_agreement,
    span_f1,
)
from sentiment.review_model import ReviewModel
from sentiment.tasks import AspectTask, aspect_task, tokenise
from sentiment.training import fit_temperature

_BATCH_TOKENS = 4096


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """What the model says of N texts: star logits, emotion logits, embeddings."""

    stars: np.ndarray
    emotions: np.ndarray
    embedding: np.ndarray


@torch.inference_mode()
def run(model: ReviewModel, ids: list[list[int]], device: str) -> Outputs:
    """Return the outputs of whole texts, in order."""
    parts: list[tuple[np.ndarray, tuple[np.ndarray, ...]]] = []
    for rows in token_budget_batches(np.array([len(row) for row in ids]), _BATCH_TOKENS):
        encoded = model.encode(*padded([ids[row] for row in rows], device))
        outputs = (
            model.stars(encoded.summary_BX),
            model.emotions(encoded.summary_BX),
            model.embed(encoded),
        )
        parts.append((rows, tuple(output.float().cpu().numpy() for output in outputs)))
    order = np.argsort(np.concatenate([rows for rows, _ in parts]), kind="stable")
    stars, felt, embedding = (
        np.concatenate([outputs[place] for _, outputs in parts])[order] for place in range(3)
    )
    return Outputs(stars=stars, emotions=felt, embedding=embedding)


@torch.inference_mode()
def aspect_figures(model: ReviewModel, task: AspectTask, device: str) -> dict[str, float]:
    """Return exact-span F1 of terms, and the accuracy of the polarity of given terms."""
    found, right, total = [], 0, 0
    for row in range(len(task.ids)):
        encoded = model.encode(*padded([task.ids[row]], device))
        tags = model.tags(encoded.tokens_BLD)[0].argmax(-1).tolist()
        found.append(tag_spans(tags, [known < 0 for known in task.tags[row]]))
        if task.spans[row]:
            start, end, polarity = torch.tensor(task.spans[row], device=device).T
            places = torch.zeros_like(start)
            said = model.polarity_of_spans(encoded, places, start, end).argmax(1)
            right += int((said == polarity).sum())
            total += len(polarity)
    wanted = [[(start, end) for start, end, _ in spans] for spans in task.spans]
    return {f"terms_{name}": value for name, value in span_f1(found, wanted).items()} | {
        "polarity_accuracy": right / max(1, total),
        "num_terms": float(total),
    }


def measure(
    model: ReviewModel, tokenizer: Tokenizer, data: Path, *, device: str, max_tokens: int
) -> dict[str, dict[str, float]]:
    """Return every figure, by data set."""
    office = office_products(data)
    office_test = without(office, ~held_out(office.texts))
    half = np.arange(len(office_test.texts)) % 2 == 0
    tuned = without(office_test, ~half)
    stars = run(model, tokenise(tokenizer, tuned.texts, max_tokens), device).stars
    allowed = torch.from_numpy(np.eye(5, dtype=bool)[tuned.label.astype(int) - 1])
    temperature = fit_temperature(torch.from_numpy(stars), allowed)
    figures: dict[str, dict[str, float]] = {"temperature": {"stars": temperature}}
    amazon = amazon_polarity(data)
    sources = [
        without(amazon, ~held_out(amazon.texts)),
        without(office_test, half),
        musical_instruments(data),
    ]
    others = (clothing(data), product_reviews(data))
    sources += [without(source, ~held_out(source.texts)) for source in others]
    for source in sources:
        outputs = run(model, tokenise(tokenizer, source.texts, max_tokens), device)
        by_star = softmax(outputs.stars / temperature, axis=1)
        figures[source.name] = star_figures(by_star, source.label)
    figures["goemotions_dev"] = _emotion_figures(model, tokenizer, data, device)
    terms = held_out_terms(data)
    task = aspect_task("aspects", tokenizer, terms.texts, terms.spans)
    figures["laptops_restaurants_held_out"] = aspect_figures(model, task, device)
    figures["embedding"] = _embedding_figures(model, tokenizer, data, device, max_tokens)
    return figures


def _emotion_figures(
    model: ReviewModel, tokenizer: Tokenizer, data: Path, device: str
) -> dict[str, float]:
    train, dev = emotions(data, "train"), emotions(data, "dev")
    rows = np.flatnonzero(held_out(train.texts)).tolist()
    seen = run(model, tokenise(tokenizer, [train.texts[r] for r in rows], 64), device)
    thresholds = best_thresholds(expit(seen.emotions), train.labels[rows])
    unseen = expit(run(model, tokenise(tokenizer, dev.texts, 64), device).emotions)
    return {
        "n": float(len(dev.texts)),
        "macro_f1": float(label_f1(unseen >= thresholds, dev.labels).mean()),
        "macro_f1_at_one_half": float(label_f1(unseen >= 0.5, dev.labels).mean()),
    }


def _embedding_figures(
    model: ReviewModel, tokenizer: Tokenizer, data: Path, device: str, max_tokens: int
) -> dict[str, float]:
    from sentiment.encoder import EncoderConfig, TextEncoder

    texts = list(dict.fromkeys(musical_instruments(data).texts))[:2000]
    base = TextEncoder.load(EncoderConfig(max_tokens=max_tokens, device=device))
    wanted = base.pool(texts).embedding
    found = run(model, tokenise(tokenizer, texts, max_tokens), device).embedding
    return {
        "n": float(len(texts)),
        "neighbours_of_10_shared": neighbour_agreement(found, wanted),
        "cosine": float((found * wanted).sum(1).mean()),
    }


def main(
    data: Annotated[Path, typer.Option(help="Folder that holds the data.")],
    weights: Annotated[Path, typer.Option(help="What `train_review_model` wrote.")],
    device: Annotated[str, typer.Option(help="Torch device.")] = "cpu",
    max_tokens: Annotated[int, typer.Option(help="Longest text that is read.")] = 256,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    """Measure a review model and print its figures."""
    from transformers import AutoModel

    folder, base = locate_encoder(DEFAULT_ENCODER)
    encoder = AutoModel.from_pretrained(folder, dtype=torch.float32)
    model = ReviewModel.load(weights, encoder, base=base).to(device)
    tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
    figures = measure(model, tokenizer, data, device=device, max_tokens=max_tokens)
    text = json_module.dumps(figures, indent=2)
    typer.echo(text)
    if json is not None:
        json.write_text(text + "\n")


if __name__ == "__main__":
    typer.run(main)
