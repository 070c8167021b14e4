"""What is chosen for a shipped review model after its training: heads, temperatures, thresholds.

Run at the end of `jobs.train_review_model` and `jobs.train_chinese_model`. Everything is chosen on
the tenth that was never trained on, or on a published development split; figures are measured
elsewhere, see `benchmarks/review_models.py`.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer
from torch import Tensor, from_numpy

from jobs.needs_labels import VALID_SPLIT, labelled_sentences
from jobs.sentiment_sources import (
    Emotional,
    Labelled,
    amazon_polarity,
    balanced,
    emotions,
    held_out,
    office_products,
    online_shopping,
    product_reviews,
    star_sets,
    weibo_emotions,
    without,
)
from jobs.term_sources import (
    Terms,
    acos_opinions,
    chinese_aspect_terms,
    clauses_of_terms,
    clauses_with_needs,
    dianping_terms,
    held_out_terms,
    letters_of,
    shampoo_opinions,
    training_terms,
)
from sentiment.encoder import EncoderConfig, TextEncoder
from sentiment.head_tuning import (
    fit_emotions,
    fit_span_polarity,
    fitted_projection,
    run_texts,
    set_need_threshold,
    set_star_temperature,
)
from sentiment.model_file import TrainedModel
from sentiment.needs import find_needs
from sentiment.review_model import ReviewModel
from sentiment.tasks import AspectTask, EmotionTask, aspect_task, tokenise
from sentiment.training import FitConfig, star_mask

_RIDGES = (1e-2, 3e-2, 1e-1, 3e-1, 1.0)
_PROJECTION_TEXTS = 6_000


def even_half(source: Labelled) -> Labelled:
    """Return every second text: the half on which temperatures are fitted."""
    return without(source, np.arange(len(source.texts)) % 2 == 1)


def odd_half(source: Labelled) -> Labelled:
    """Return the other half: the one that figures are measured on."""
    return without(source, np.arange(len(source.texts)) % 2 == 0)


def tune_english(
    trained: TrainedModel, data: Path, *, device: str, max_tokens: int
) -> dict[str, Any]:
    """Tune the English model in place.

    Args:
        trained: As training left it.
        data: Folder that holds the public data.
        device: Torch device.
        max_tokens: Longest text that is read.

    Returns:
        What was found on the validation rows.
    """
    model, tokenizer = trained.model.to(device).eval(), trained.tokenizer
    figures: dict[str, Any] = {}
    office = office_products(data)
    tuned = even_half(without(office, ~held_out(office.texts)))
    figures["star_temperature"] = set_star_temperature(
        model,
        tokenise(tokenizer, tuned.texts, max_tokens),
        star_mask(star_sets(tuned)),
        device=device,
    )
    figures["emotions"] = fit_emotions(
        model, *_emotion_tasks(tokenizer, emotions(data, "train"), 64), FitConfig(), device=device
    )
    terms, held = training_terms(data), held_out_terms(data).texts
    figures["span_polarity"] = fit_span_polarity(
        model,
        [
            _task(tokenizer, _with_clauses(terms), max_tokens),
            _task(tokenizer, _other_sentences(acos_opinions(data, "train"), held), max_tokens),
        ],
        _task(tokenizer, acos_opinions(data, "dev"), max_tokens),
        FitConfig(),
        device=device,
    )
    texts = balanced(product_reviews(data), 1200).texts + balanced(office, 1200).texts
    figures["needs"] = _needs(model, tokenizer, data, "en", device, max_tokens)
    figures["embedding"] = _projection(
        model, tokenizer, texts + amazon_polarity(data).texts, device, max_tokens
    )
    return figures


def tune_chinese(
    trained: TrainedModel, data: Path, *, device: str, max_tokens: int
) -> dict[str, Any]:
    """Tune the Chinese model in place; see `tune_english`."""
    model, tokenizer = trained.model.to(device).eval(), trained.tokenizer
    figures: dict[str, Any] = {}
    shop = online_shopping(data)
    tuned = even_half(without(shop, ~held_out(shop.texts)))
    figures["star_temperature"] = set_star_temperature(
        model,
        tokenise(tokenizer, tuned.texts, max_tokens),
        star_mask(star_sets(replace(tuned, label=tuned.label * 2 + 1))),
        device=device,
    )
    felt = _emotion_tasks(tokenizer, weibo_emotions(data), max_tokens, every=2)
    figures["emotions"] = fit_emotions(model, *felt, FitConfig(), device=device)
    dianping = dianping_terms(data, "train")
    sources = (chinese_aspect_terms(data), shampoo_opinions(data), dianping)
    seen = [rows_of_terms(terms, False) for terms in sources]
    figures["span_polarity"] = fit_span_polarity(
        model,
        [_task(tokenizer, _with_clauses(terms), max_tokens) for terms in seen],
        _task(tokenizer, rows_of_terms(dianping, True), max_tokens),
        FitConfig(),
        device=device,
    )
    figures["needs"] = _needs(model, tokenizer, data, "zh", device, max_tokens)
    return figures


def _with_clauses(terms: Terms) -> Terms:
    """Return terms and the clauses around them, so that each text is run once."""
    clauses = clauses_of_terms(terms)
    spans = [a + b for a, b in zip(terms.spans, clauses.spans, strict=True)]
    return Terms(texts=terms.texts, spans=spans)


def _other_sentences(terms: Terms, texts: Sequence[str]) -> Terms:
    """Leave out sentences that are among `texts` but for case and spaces."""
    known = {letters_of(text) for text in texts}
    kept = [row for row, text in enumerate(terms.texts) if letters_of(text) not in known]
    return Terms(texts=[terms.texts[r] for r in kept], spans=[terms.spans[r] for r in kept])


def rows_of_terms(terms: Terms, out: bool) -> Terms:
    """Return the texts of the tenth that is not trained on, or all the others."""
    kept = np.flatnonzero(held_out(terms.texts) == out).tolist()
    return Terms(texts=[terms.texts[r] for r in kept], spans=[terms.spans[r] for r in kept])


def _task(tokenizer: Tokenizer, terms: Terms, max_tokens: int) -> AspectTask:
    return aspect_task("spans", tokenizer, terms.texts, terms.spans, max_tokens=max_tokens)


def _emotion_tasks(
    tokenizer: Tokenizer, felt: Emotional, max_tokens: int, *, every: int = 1
) -> tuple[EmotionTask, EmotionTask]:
    """Return what was trained on, and of the tenth that was not every so-manieth text."""
    out = held_out(felt.texts)
    seen, unseen = (
        EmotionTask(
            name="emotions",
            ids=tokenise(tokenizer, [felt.texts[row] for row in rows], max_tokens),
            labels=felt.labels[rows],
        )
        for rows in (np.flatnonzero(~out), np.flatnonzero(out)[::every])
    )
    return seen, unseen


def _needs(
    model: ReviewModel,
    tokenizer: Tokenizer,
    data: Path,
    language: str,
    device: str,
    max_tokens: int,
) -> dict[str, float]:
    """Set the threshold of needs on sentences that nothing was learned from."""
    labels = [s for s in labelled_sentences(data, (VALID_SPLIT,)) if s.language == language]
    sentences = [label.text for label in labels]
    wanted = clauses_with_needs(sentences, [label.needs for label in labels])
    ruled = clauses_with_needs(sentences, [find_needs(text) for text in sentences])
    by_rules = _task(tokenizer, ruled, max_tokens)
    return set_need_threshold(
        model,
        _task(tokenizer, wanted, max_tokens),
        np.array([kind > 0 for spans in by_rules.spans for _, _, kind in spans]),
        device=device,
    )


def _projection(
    model: ReviewModel, tokenizer: Tokenizer, texts: Sequence[str], device: str, max_tokens: int
) -> dict[str, float]:
    """Fit the embedding to the base's; a tenth of the texts chooses the penalty."""
    distinct = list(dict.fromkeys(texts))
    picked = np.random.default_rng(0).permutation(len(distinct))[:_PROJECTION_TEXTS]
    chosen = [distinct[row] for row in picked]
    base = TextEncoder.load(EncoderConfig(max_tokens=max_tokens, device=device))
    wanted = from_numpy(base.pool(chosen).embedding)
    pooled = run_texts(model, tokenise(tokenizer, chosen, max_tokens), device).pooled
    num_valid = len(chosen) // 10
    figures = {}
    start = model.embedding.weight.detach().cpu()

    def cosine(weight: Tensor) -> float:
        found = pooled[:num_valid].flatten(1) @ weight.T
        return float(((found * wanted[:num_valid]).sum(1) / found.norm(dim=1)).mean())

    figures["cosine_before"] = cosine(start)
    for ridge in _RIDGES:
        fitted = fitted_projection(start, pooled[num_valid:], wanted[num_valid:], ridge=ridge)
        figures[f"cosine_at_{ridge:g}"] = cosine(fitted)
    best = max(_RIDGES, key=lambda ridge: figures[f"cosine_at_{ridge:g}"])
    model.embedding.weight.data.copy_(fitted_projection(start, pooled, wanted, ridge=best))
    return figures | {"ridge": best}
