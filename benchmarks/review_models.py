"""What the shipped review models know, on rows they never saw, beside a plain peer in the same run.

python -m benchmarks.review_models --data ../shared/data [--english F] [--chinese F] [--json F]

Every figure of a language comes from one file of weights. Heads and thresholds were chosen on other
rows (see `jobs/tune_review_model.py`); of the sources whose held-out tenth chose a temperature the
other half is measured. The peer of polarity is TF-IDF of words (characters for Chinese) with
logistic regression, fitted on the training part of the same sources; the embedding's peer is the
base encoder itself.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table
from scipy.special import softmax
from torch import nn

from benchmarks.harness import write
from jobs.review_tasks import star_sources
from jobs.sentiment_figures import cross_cooled
from jobs.sentiment_sources import (
    Emotional,
    Labelled,
    amazon_polarity,
    clothing,
    emotions,
    held_out,
    magazines,
    musical_instruments,
    office_products,
    online_shopping,
    product_reviews,
    stanford_sentences,
    tweets,
    unseen_reviews,
    weibo_emotions,
    without,
)
from jobs.term_sources import (
    chinese_aspect_terms,
    dianping_terms,
    held_out_terms,
    shampoo_opinions,
    single_terms,
)
from jobs.tune_review_model import odd_half, rows_of_terms
from sentiment.batching import padded
from sentiment.decoding import tag_spans, whole_words
from sentiment.encoder import EncoderConfig, TextEncoder
from sentiment.head_tuning import TextOutputs, run_spans, run_texts
from sentiment.metrics import (
    calibration_error,
    label_f1,
    macro_f1,
    neighbour_agreement,
    span_f1,
    two_class_accuracy,
)
from sentiment.model_file import TrainedModel, load_model
from sentiment.scorer import CHINESE_MODEL, ENGLISH_MODEL
from sentiment.tasks import AspectTask, aspect_task, tokenise

_MAX_TOKENS = 256
_POSTS_TOKENS = 64
Figures = dict[str, dict[str, float]]


def english_figures(trained: TrainedModel, data: Path) -> Figures:
    """Return every figure of the English model, by data set."""
    office, amazon, products = office_products(data), amazon_polarity(data), product_reviews(data)
    sources = [
        _unseen(amazon),
        odd_half(_unseen(office)),
        _unseen(products),
        _unseen(magazines(data)),
        musical_instruments(data),
        clothing(data, most=4000),
        _unseen(stanford_sentences(data)),
        _unseen(tweets(data)),
    ]
    figures: Figures = {}
    for source in sources:
        by_star = _stars(trained, _run(trained, source.texts, _MAX_TOKENS))
        figures[source.name] = star_figures(by_star, source.label)
    office = _unseen(office)
    by_star = _stars(trained, _run(trained, office.texts, _MAX_TOKENS))
    figures["office_products, all, cross-fitted"] = cross_fitted(by_star, office.label)
    dev = emotions(data, "dev")
    figures["goemotions_dev"] = _emotion_figures(trained, dev, _POSTS_TOKENS)
    terms = held_out_terms(data)
    figures["aspects_held_out"] = _aspect_figures(trained, terms)
    figures["aspects_held_out, no copies"] = _aspect_figures(trained, single_terms(terms, data))
    figures["embedding"] = _embedding_figures(trained, data)
    return figures


def chinese_figures(trained: TrainedModel, data: Path) -> Figures:
    """Return every figure of the Chinese model, by data set."""
    most = trained.model.max_tokens
    shop = online_shopping(data)
    unseen = odd_half(_unseen(shop))
    by_star = _stars(trained, _run(trained, unseen.texts, most))
    figures = {shop.name: star_figures(by_star, unseen.label * 2 + 1)}
    felt = weibo_emotions(data)
    kept = np.flatnonzero(held_out(felt.texts))[1::2]
    part = Emotional(
        names=felt.names, texts=[felt.texts[row] for row in kept], labels=felt.labels[kept]
    )
    figures["weibo"] = _emotion_figures(trained, part, most)
    for name, terms in (
        ("aspects_held_out", rows_of_terms(chinese_aspect_terms(data), True)),
        ("dianping_dev", dianping_terms(data, "dev")),
    ):
        figures[name] = _aspect_figures(trained, terms)
    opinions = rows_of_terms(shampoo_opinions(data), True)
    figures["shampoo_held_out"] = _polarity_figures(trained, opinions)
    return figures


def star_figures(by_star: np.ndarray, label: np.ndarray) -> dict[str, float]:
    """Return how star probabilities, shape (N, 5), agree with stars, shape (N,).

    Two classes leave three stars out; figures of three classes are there where such labels are.
    """
    return polarity_figures(class_probabilities(by_star), label)


def cross_fitted(by_star: np.ndarray, label: np.ndarray) -> dict[str, float]:
    """Return the calibration error as shipped, and with each half cooled by the other's labels."""
    probabilities, actual = class_probabilities(by_star), star_class(label)
    return {
        "n": float(len(label)),
        "calibration_error": calibration_error(probabilities, actual),
        "calibration_error_after_temperature": calibration_error(
            cross_cooled(probabilities.astype(np.float64), actual), actual
        ),
    }


def class_probabilities(by_star: np.ndarray) -> np.ndarray:
    """Return negative, neutral and positive, shape (N, 3)."""
    return np.stack([by_star[:, :2].sum(1), by_star[:, 2], by_star[:, 3:].sum(1)], axis=1)


def star_class(label: np.ndarray) -> np.ndarray:
    """Return 0 for one and two stars, 1 for three, 2 for four and five."""
    return np.where(label <= 2, 0, np.where(label == 3, 1, 2))


def polarity_figures(probabilities: np.ndarray, label: np.ndarray) -> dict[str, float]:
    """Return how probabilities of three classes agree with stars."""
    actual = star_class(label)
    clear = label != 3
    figures = {
        "n": float(len(label)),
        "accuracy_two_classes": two_class_accuracy(probabilities[clear], label[clear] > 3),
    }
    if not clear.all():
        figures["macro_f1_three_classes"] = macro_f1(probabilities.argmax(1), actual)
        figures["calibration_error"] = calibration_error(probabilities, actual)
    else:
        share = probabilities[:, [0, 2]] / probabilities[:, [0, 2]].sum(1, keepdims=True)
        figures["calibration_error"] = calibration_error(share, actual // 2)
    return figures


def english_peer(data: Path) -> Figures:
    """Return the figures of TF-IDF and logistic regression on the same rows."""
    train = star_sources(data, 1500)
    texts = [text for source in train for text in source.texts]
    label = np.concatenate([source.label for source in train])
    tests = [
        _unseen(amazon_polarity(data)),
        odd_half(_unseen(office_products(data))),
        musical_instruments(data),
        clothing(data, most=4000),
    ]
    return _peer(texts, label, [(test.name, test.texts, test.label) for test in tests], "word")


def chinese_peer(data: Path) -> Figures:
    """Return the figures of TF-IDF of characters and logistic regression on the same rows."""
    shop = online_shopping(data)
    train, test = without(shop, held_out(shop.texts)), odd_half(_unseen(shop))
    rows = [(shop.name, test.texts, test.label * 2 + 1)]
    return _peer(train.texts, train.label * 2 + 1, rows, "char")


def _peer(
    texts: Sequence[str],
    stars: np.ndarray,
    tests: Sequence[tuple[str, Sequence[str], np.ndarray]],
    analyzer: str,
) -> Figures:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    classes = star_class(stars)
    longest = 2 if analyzer == "word" else 3
    features = TfidfVectorizer(
        analyzer=analyzer, ngram_range=(1, longest), min_df=2, sublinear_tf=True
    )
    model = LogisticRegression(C=4.0, max_iter=300)
    model.fit(features.fit_transform(texts), classes)
    figures = {}
    for name, of_test, label in tests:
        found = model.predict_proba(features.transform(of_test))
        by_class = np.zeros((len(of_test), 3))
        by_class[:, model.classes_] = found
        figures[name] = polarity_figures(by_class, label)
    return figures


def _unseen(source: Labelled) -> Labelled:
    return without(source, ~held_out(source.texts))


def _run(trained: TrainedModel, texts: Sequence[str], max_tokens: int) -> TextOutputs:
    return run_texts(trained.model, tokenise(trained.tokenizer, texts, max_tokens), "cpu")


@torch.inference_mode()
def _stars(trained: TrainedModel, outputs: TextOutputs) -> np.ndarray:
    model = trained.model
    return softmax((model.stars(outputs.summary) / model.star_temperature).numpy(), axis=1)


@torch.inference_mode()
def _emotion_figures(trained: TrainedModel, felt: Emotional, max_tokens: int) -> dict[str, float]:
    outputs = _run(trained, felt.texts, max_tokens)
    found = trained.model.emotions(outputs.summary).sigmoid().numpy()
    thresholds = trained.model.emotion_thresholds.numpy()
    return {
        "n": float(len(felt.texts)),
        "macro_f1": float(label_f1(found >= thresholds, felt.labels).mean()),
        "macro_f1_at_one_half": float(label_f1(found >= 0.5, felt.labels).mean()),
        "accuracy_of_the_strongest": float(
            felt.labels[np.arange(len(found)), found.argmax(1)].mean()
        ),
    }


@torch.inference_mode()
def _aspect_figures(trained: TrainedModel, terms) -> dict[str, float]:
    """Return exact-span F1 of terms, and the accuracy of the polarity of given terms."""
    task = aspect_task("aspects", trained.tokenizer, terms.texts, terms.spans)
    spans = [[(start, end) for start, end, _ in of_text] for of_text in task.spans]
    found = [_found_terms(trained, task, row, text) for row, text in enumerate(terms.texts)]
    of_terms = {f"terms_{name}": value for name, value in span_f1(found, spans).items()}
    return of_terms | _polarity_figures(trained, terms)


def _polarity_figures(trained: TrainedModel, terms) -> dict[str, float]:
    """Return the accuracy of the polarity of given spans."""
    task = aspect_task("aspects", trained.tokenizer, terms.texts, terms.spans)
    read, wanted = run_spans(trained.model, task, "cpu")
    right = (trained.model.span_polarity(read).argmax(1) == wanted).float().mean().item()
    return {"polarity_accuracy": right, "num_terms": float(len(wanted))}


def _found_terms(
    trained: TrainedModel, task: AspectTask, row: int, text: str
) -> list[tuple[int, int]]:
    """Return the token spans that the tags mark, widened to words as the product does."""
    encoded = trained.model.encode(*padded([task.ids[row]], "cpu"))
    tags = trained.model.tags(encoded.tokens_BLD)[0].argmax(-1).tolist()
    words = trained.tokenizer.encode(text).word_ids
    return whole_words(tag_spans(tags, [known < 0 for known in task.tags[row]]), words)


@torch.inference_mode()
def _embedding_figures(trained: TrainedModel, data: Path) -> dict[str, float]:
    texts = unseen_reviews(data, 2000)
    base = TextEncoder.load(EncoderConfig(max_tokens=128))
    wanted = base.pool(texts).embedding
    pooled = _run(trained, texts, 128).pooled
    found = nn.functional.normalize(trained.model.embedding(pooled.flatten(1)), dim=1)
    return {
        "n": float(len(texts)),
        "neighbours_of_10_shared": neighbour_agreement(found.numpy(), wanted),
        "cosine": float((found.numpy() * wanted).sum(1).mean()),
    }


def _table(title: str, figures: Figures) -> Table:
    table = Table("rows", "figure", "value", title=title)
    for name, values in figures.items():
        for figure, value in values.items():
            table.add_row(name, figure, f"{value:,.4g}")
    return table


def main(
    data: Annotated[Path, typer.Option(help="Folder that holds the data.")],
    english: Annotated[Path, typer.Option(help="The English model.")] = ENGLISH_MODEL,
    chinese: Annotated[Path, typer.Option(help="The Chinese model.")] = CHINESE_MODEL,
    language: Annotated[str, typer.Option(help="en, zh or both.")] = "both",
    peers: Annotated[bool, typer.Option(help="Fit the plain peers too.")] = True,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    """Run the benchmark."""
    results: dict[str, Any] = {}
    runs = {
        "en": (english, english_figures, english_peer),
        "zh": (chinese, chinese_figures, chinese_peer),
    }
    for name, (file, measure, peer) in runs.items():
        if language in (name, "both"):
            results[name] = measure(load_model(file), data)
            Console(width=100).print(_table(f"{name}: {file.name}", results[name]))
            if peers:
                results[f"{name}_peer"] = peer(data)
                table = _table(f"{name}: TF-IDF, logistic regression", results[f"{name}_peer"])
                Console(width=100).print(table)
    write(json, {"metrics": results})


if __name__ == "__main__":
    typer.run(main)
