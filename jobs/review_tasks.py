"""What the English review model learns from: public texts and labels, as tasks.

Musical instruments and clothing are never read: they are the unseen domains. A tenth of every
source, chosen by a hash of the text, is read by none of the stages.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from jobs.needs_labels import LEARNED_SPLITS, labelled_sentences
from jobs.sentiment_sources import (
    Labelled,
    amazon_polarity,
    balanced,
    beauty,
    emotions,
    held_out,
    magazines,
    office_products,
    product_reviews,
    stanford_sentences,
    star_sets,
    stars_of_emotions,
    tweets,
    without,
)
from jobs.term_sources import Terms, clauses_with_needs, training_terms
from sentiment.needs import find_needs
from sentiment.sentences import clause_spans
from sentiment.tasks import (
    AspectTask,
    EmotionTask,
    NeedTask,
    Span,
    StarTask,
    Task,
    aspect_task,
    tokenise,
)
from sentiment.training import star_mask

# Of the second stage. Terms of these domains are marked by one guideline, SemEval's.
_DENSE_DOMAINS = ("laptop14", "restaurant14", "restaurant15", "restaurant16")
_DENSE_PASSES = 4
# Of the last stage: the two that are most alike, and most like what is wanted of terms.
_SETTLED_DOMAINS = ("laptop14", "restaurant14")
_SETTLED_PASSES = 4
_SETTLED_LABELLED_PASSES = 2
_SETTLED_TEXTS = 500
_SETTLED_COMMENTS = 2500
_NEED_TEXTS = 1500
# Over the sentences whose needs were labelled by reading.
_LABELLED_PASSES = 4
_STARS_AGAIN = 300
_TEXTS_AGAIN = 1200
_COMMENTS_AGAIN = 6000
# Of the texts that teachers read, most of them without a label that anything was learned from.
_TAUGHT_PER_STAR = 6000


def star_sources(data: Path, per_star: int) -> list[Labelled]:
    """Return what the star head learns from, balanced, without the held-out tenth."""
    sources = [
        amazon_polarity(data),
        balanced(office_products(data), per_star),
        balanced(product_reviews(data), per_star),
        balanced(magazines(data), 300),
        balanced(beauty(data), 200),
        stanford_sentences(data),
        tweets(data),
    ]
    return [without(source, held_out(source.texts)) for source in sources]


@dataclass(frozen=True, kw_only=True)
class Passes:
    """How often each kind of text is read; reviews of other sources are read once.

    Attributes:
        polarity: Amazon reviews of two classes.
        emotions: Comments with emotions.
        aspects: Sentences with aspect terms.
    """

    polarity: int = 2
    emotions: int = 2
    aspects: int = 4


def review_tasks(
    data: Path, tokenizer: Tokenizer, *, max_tokens: int, per_star: int, passes: Passes
) -> list[Task]:
    """Return every task of the English model, one that is read twice twice."""
    tasks: list[Task] = []
    for source in star_sources(data, per_star):
        task = StarTask(
            name=source.name,
            ids=tokenise(tokenizer, source.texts, max_tokens),
            mask=star_mask(star_sets(source)),
        )
        tasks += [task] * (passes.polarity if source.name == "amazon_polarity" else 1)
    felt = emotions(data, "train")
    kept = np.flatnonzero(~held_out(felt.texts))
    ids = tokenise(tokenizer, [felt.texts[row] for row in kept], 64)
    stars = stars_of_emotions(felt)[kept]
    terms = training_terms(data)
    of_emotions = EmotionTask(
        name="emotions", ids=ids, labels=felt.labels[kept], stars=stars, weight=0.5
    )
    of_aspects = aspect_task("aspects", tokenizer, terms.texts, terms.spans)
    return tasks + [of_emotions] * passes.emotions + [of_aspects] * passes.aspects


def span_tasks(data: Path, tokenizer: Tokenizer, *, max_tokens: int, seed: int) -> list[Task]:
    """Return the tasks of the second stage; what else was learned is read again in part."""
    rng = np.random.default_rng([seed, 2])
    tasks = _again(data, tokenizer, rng, _TEXTS_AGAIN, _COMMENTS_AGAIN, max_tokens=max_tokens)
    terms, dense = training_terms(data), training_terms(data, _DENSE_DOMAINS)
    tasks.append(aspect_task("aspects", tokenizer, terms.texts, terms.spans))
    tasks += [aspect_task("dense", tokenizer, dense.texts, dense.spans)] * _DENSE_PASSES
    return [*tasks, *needs_tasks(data, tokenizer, rng, max_tokens=max_tokens)]


def settling_tasks(data: Path, tokenizer: Tokenizer, *, max_tokens: int, seed: int) -> list[Task]:
    """Return the tasks of the last stage: terms and needs, which averaging blurs most."""
    rng = np.random.default_rng([seed, 4])
    tasks = _again(data, tokenizer, rng, _SETTLED_TEXTS, _SETTLED_COMMENTS, max_tokens=max_tokens)
    terms = training_terms(data, _SETTLED_DOMAINS)
    tasks += [aspect_task("terms", tokenizer, terms.texts, terms.spans)] * _SETTLED_PASSES
    by_reading = labelled_needs_task(data, tokenizer, "en", max_tokens=max_tokens)
    return tasks + [by_reading] * _SETTLED_LABELLED_PASSES


def _again(
    data: Path,
    tokenizer: Tokenizer,
    rng: np.random.Generator,
    texts: int,
    comments: int,
    *,
    max_tokens: int,
) -> list[Task]:
    """Return some of the texts of each source of stars, and of the comments with emotions."""
    tasks: list[Task] = []
    for source in star_sources(data, _STARS_AGAIN):
        again = without(source, ~_some(rng, len(source.texts), texts))
        ids = tokenise(tokenizer, again.texts, max_tokens)
        tasks.append(StarTask(name=again.name, ids=ids, mask=star_mask(star_sets(again))))
    felt = emotions(data, "train")
    rows = np.flatnonzero(~held_out(felt.texts) & _some(rng, len(felt.texts), comments))
    of_emotions = EmotionTask(
        name="emotions",
        ids=tokenise(tokenizer, [felt.texts[row] for row in rows], 64),
        labels=felt.labels[rows],
        stars=stars_of_emotions(felt)[rows],
        weight=0.5,
    )
    return [*tasks, of_emotions]


def needs_tasks(
    data: Path, tokenizer: Tokenizer, rng: np.random.Generator, *, max_tokens: int
) -> list[Task]:
    """Return clauses with the needs that rules find in reviews, and those found by reading."""
    reviews = _reviews_with_needs(data)
    found = [find_needs(text) for text in reviews]
    voiced = np.array([bool(needs) for needs in found])
    chosen = np.flatnonzero(voiced | _some(rng, len(reviews), int(voiced.sum())))
    weak = rng.permutation(chosen)[:_NEED_TEXTS].tolist()
    by_rules = clauses_with_needs([reviews[row] for row in weak], [found[row] for row in weak])
    by_reading = labelled_needs_task(data, tokenizer, "en", max_tokens=max_tokens)
    return [
        _need_task("needs by rules", tokenizer, by_rules, max_tokens),
        *[by_reading] * _LABELLED_PASSES,
    ]


def labelled_needs_task(
    data: Path, tokenizer: Tokenizer, language: str, *, max_tokens: int
) -> NeedTask:
    """Return the sentences of a language whose needs were labelled by reading."""
    read = [one for one in labelled_sentences(data, LEARNED_SPLITS) if one.language == language]
    clauses = clauses_with_needs([one.text for one in read], [one.needs for one in read])
    return _need_task("needs by reading", tokenizer, clauses, max_tokens)


def _need_task(name: str, tokenizer: Tokenizer, clauses: Terms, max_tokens: int) -> NeedTask:
    placed = aspect_task(name, tokenizer, clauses.texts, clauses.spans, max_tokens=max_tokens)
    return NeedTask(name=name, ids=placed.ids, spans=placed.spans)


def taught_tasks(data: Path, tokenizer: Tokenizer, *, max_tokens: int) -> list[AspectTask]:
    """Return the texts that teachers read, with each clause and term as a span to be told.

    What the tasks say of tags and polarity is empty: the teachers say it.
    """
    terms = training_terms(data)
    sources = {source.name: source.texts for source in star_sources(data, _TAUGHT_PER_STAR)}
    felt = emotions(data, "train").texts
    sources["comments"] = [t for t, out in zip(felt, held_out(felt), strict=True) if not out]
    tasks = [
        texts_to_teach(name, tokenizer, texts, max_tokens=max_tokens)
        for name, texts in sources.items()
    ]
    spans = [
        of_text + _clauses(text) for text, of_text in zip(terms.texts, terms.spans, strict=True)
    ]
    return [*tasks, aspect_task("sentences", tokenizer, terms.texts, spans, max_tokens=max_tokens)]


def texts_to_teach(
    name: str, tokenizer: Tokenizer, texts: Sequence[str], *, max_tokens: int
) -> AspectTask:
    """Return texts with each clause as a span to be told."""
    return aspect_task(name, tokenizer, texts, list(map(_clauses, texts)), max_tokens=max_tokens)


def _clauses(text: str) -> list[Span]:
    return [Span(start=start, end=end, polarity=0) for start, end in clause_spans(text)]


def _reviews_with_needs(data: Path) -> list[str]:
    """Return reviews in which needs may be looked for."""
    reviews = [*balanced(office_products(data), 1200).texts]
    reviews += balanced(product_reviews(data), 1200).texts
    out = held_out(reviews)
    return [text for text, left in zip(reviews, out, strict=True) if not left]


def _some(rng: np.random.Generator, num: int, most: int) -> np.ndarray:
    """Return which of `num` rows are among `most` chosen ones, bool, shape (num,)."""
    return np.isin(np.arange(num), rng.permutation(num)[:most])
