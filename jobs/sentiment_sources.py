"""The public data that sentiment models are trained on, read into texts and labels.

A tenth of every source, chosen by a hash of the text, is never trained on.
"""

import gzip
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl

from sentiment.cleaning import clean_text, review_text, text_key
from sentiment.needs import NEED_KINDS, Need
from sentiment.sentences import clause_spans
from sentiment.tasks import Span
from sentiment.training import NEGATIVE_STARS, POSITIVE_STARS

UNSEEN_REVIEWS = 2000
_HELD_OUT_DOMAINS = ("laptop14", "restaurant14")
_OPINION_DOMAIN = "shampoo"


@dataclass(kw_only=True)
class Labelled:
    """Texts of one source with their labels.

    Attributes:
        label: Stars for English; 0 negative, 1 neutral, 2 positive for Chinese.
        by_class: English stars stand for their class: four and five mean the same.
        topic: Dense category index of Chinese texts, -1 where unknown.
    """

    name: str
    texts: list[str]
    label: np.ndarray
    by_class: bool
    topic: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))


def held_out(texts: Sequence[str]) -> np.ndarray:
    """Return which texts belong to the tenth that is never trained on, bool, shape (N,)."""
    return np.array([int(text_key(text)[:8], 16) % 10 == 0 for text in texts])


def star_sets(source: Labelled) -> list[tuple[int, ...]]:
    """Return the stars that each label allows: one, or those of its class."""
    if source.by_class:
        classes = (NEGATIVE_STARS, (3,), POSITIVE_STARS)
        return [classes[int(label >= 3) + int(label > 3)] for label in source.label]
    return [(int(label),) for label in source.label]


def amazon_polarity(data: Path) -> Labelled:
    """Amazon reviews of every kind of product; stars 1 and 5 stand for the two classes."""
    frame = pl.read_csv(data / "sentiment_en/amazon_polarity_train.csv.gz").unique(
        "text", keep="first", maintain_order=True
    )
    return Labelled(
        name="amazon_polarity",
        texts=[clean_text(text) for text in frame["text"]],
        label=np.where(frame["label"].to_numpy() == 1, 5, 1),
        by_class=True,
    )


def office_products(data: Path) -> Labelled:
    """Office products, balanced over stars."""
    return _star_reviews(
        data / "reviews/amazon_office_products_2018_ratingbalanced_sample.jsonl.gz",
        "office_products",
    )


def musical_instruments(data: Path) -> Labelled:
    """A fixed sample balanced over stars as far as the data allows; never trained on."""
    source = _star_reviews(
        data / "reviews/amazon_musical_instruments_2014_5core.jsonl.gz",
        "musical_instruments_unseen",
    )
    rng = np.random.default_rng(0)
    rows = []
    for star in range(1, 6):
        of_star = np.flatnonzero(source.label == star)
        rows.append(rng.permutation(of_star)[: UNSEEN_REVIEWS // 5])
    keep = np.concatenate(rows)
    return Labelled(
        name=source.name,
        texts=[source.texts[row] for row in keep],
        label=source.label[keep],
        by_class=False,
    )


def unseen_reviews(data: Path, num: int) -> list[str]:
    """Distinct texts of musical instruments, drawn at random; never trained on."""
    everything = _star_reviews(
        data / "reviews/amazon_musical_instruments_2014_5core.jsonl.gz", "musical_instruments"
    )
    texts = sorted(set(everything.texts) - {""})
    return [texts[row] for row in np.random.default_rng(0).permutation(len(texts))[:num].tolist()]


def product_reviews(data: Path) -> Labelled:
    """Product reviews of many shops, mostly electronics and household; skewed to five stars."""
    frame = _csv(data / "reviews/product_reviews_30k.csv.gz")
    return _of_stars("product_reviews", frame, "reviews_title", "reviews_text", "reviews_rating")


def clothing(data: Path, *, most: int | None = None) -> Labelled:
    """Women's clothing, skewed to five stars; the first `most` of the file."""
    frame = _csv(data / "reviews/womens_clothing.csv.gz").head(most or 1 << 30)
    return _of_stars("clothing", frame, "Title", "Review Text", "Rating")


def magazines(data: Path) -> Labelled:
    """Magazine subscriptions."""
    return _star_reviews(data / "reviews/amazon_magazine_2018_5core.jsonl.gz", "magazines")


def beauty(data: Path) -> Labelled:
    """Beauty products, very skewed to five stars."""
    return _star_reviews(data / "reviews/amazon_all_beauty_2018_5core.jsonl.gz", "beauty")


def stanford_sentences(data: Path) -> Labelled:
    """Single sentences of film reviews in five classes, which stand for one to five stars."""
    frame = _csv(data / "sentiment_en/sst_fine.csv.gz").filter(pl.col("split") == "train")
    frame = frame.with_columns(stars=pl.col("label") + 1, title=pl.lit(None, dtype=pl.String))
    return _of_stars("stanford_sentences", frame, "title", "text", "stars")


def tweets(data: Path) -> Labelled:
    """Posts of three classes, which stand for two, three and four stars."""
    frame = _csv(data / "sentiment_en/tweeteval_sentiment_val.csv.gz")
    stars = {"negative": 2, "neutral": 3, "positive": 4}
    return Labelled(
        name="tweets",
        texts=[clean_text(text) for text in frame["text"]],
        label=frame["label"].replace_strict(stars, return_dtype=pl.Int64).to_numpy(),
        by_class=True,
    )


def balanced(source: Labelled, per_star: int, *, seed: int = 0) -> Labelled:
    """Return at most `per_star` texts of each label, in the order of the source."""
    rng = np.random.default_rng(seed)
    keep = [
        rng.permutation(np.flatnonzero(source.label == star))[:per_star]
        for star in np.unique(source.label)
    ]
    return _rows(source, np.sort(np.concatenate(keep)))


def without(source: Labelled, out: np.ndarray) -> Labelled:
    """Return the texts that a mask does not mark."""
    return _rows(source, np.flatnonzero(~out))


def _rows(source: Labelled, rows: np.ndarray) -> Labelled:
    return replace(
        source,
        texts=[source.texts[row] for row in rows],
        label=source.label[rows],
        topic=source.topic[rows] if len(source.topic) else source.topic,
    )


@dataclass(frozen=True, kw_only=True)
class Emotional:
    """Texts with emotions: names in order, and which of them each text carries, (N, names)."""

    names: list[str]
    texts: list[str]
    labels: np.ndarray


def emotions(data: Path, split: str) -> Emotional:
    """GoEmotions: comments with any of 28 labels; `split` is `train` or `dev`."""
    frame = _csv(data / "emotion/goemotions.csv.gz")
    of_text = frame["labels"].str.split(" ")
    names = sorted(of_text.explode().unique())
    place = {name: number for number, name in enumerate(names)}
    labels = np.zeros((len(frame), len(names)), dtype=bool)
    for row, found in enumerate(of_text):
        labels[row, [place[name] for name in found]] = True
    rows = np.flatnonzero((frame["split"] == split).to_numpy())
    texts = [clean_text(text) for text in frame["text"][rows]]
    return Emotional(names=names, texts=texts, labels=labels[rows])


# fmt: off
POSITIVE_EMOTIONS = frozenset((
    "admiration", "amusement", "approval", "caring", "excitement", "gratitude", "joy", "love",
    "optimism", "pride", "relief",
))
NEGATIVE_EMOTIONS = frozenset((
    "anger", "annoyance", "disappointment", "disapproval", "disgust", "embarrassment", "fear",
    "grief", "nervousness", "remorse", "sadness",
))
# fmt: on


def stars_of_emotions(felt: Emotional) -> np.ndarray:
    """Return the stars that a text's emotions allow, bool, shape (N, 5).

    Positive emotions allow four and five, negative ones one and two, `neutral` three; ambiguous
    emotions, and positive and negative ones together, allow all.
    """
    has = {name: felt.labels[:, place] for place, name in enumerate(felt.names)}
    positive = np.any([has[name] for name in POSITIVE_EMOTIONS], axis=0)
    negative = np.any([has[name] for name in NEGATIVE_EMOTIONS], axis=0)
    neutral = has["neutral"]
    open_ended = (positive & negative) | ~(positive | negative | neutral)
    allowed = np.stack([negative, negative, neutral, positive, positive], axis=1)
    return allowed | open_ended[:, None]


@dataclass(frozen=True, kw_only=True)
class Terms:
    """Sentences with every aspect term in them."""

    texts: list[str]
    spans: list[list[Span]]


def aspect_terms(data: Path, domains: Sequence[str] | None = None) -> Terms:
    """English sentences with aspect terms of the given domains, of all without any."""
    frame = _csv(data / "aspects_en/aspect_terms.csv.gz")
    if domains is not None:
        frame = frame.filter(pl.col("domain").is_in(list(domains)))
    return _terms(frame)


def letters_of(text: str) -> str:
    """Return a text's letters and digits in lower case: what is left where it was copied loosely.

    >>> letters_of("Good sound , no hum!") == letters_of("good sound, no hum")
    True
    """
    return "".join(filter(str.isalnum, text.lower()))


def _terms(frame: pl.DataFrame) -> Terms:
    """Gather the terms of each text; one that two people judged differently has one polarity.

    The files hold some texts several times, with other spaces and other terms each time: the first
    copy gets the terms of all.
    """
    classes = {"Negative": 0, "Neutral": 1, "Positive": 2}
    texts: dict[str, str] = {}
    of_text: dict[str, dict[tuple[int, int], int]] = {}
    for copy, term, start, polarity in frame.select(
        "text", "aspect", "char_pos", "polarity"
    ).iter_rows():
        text = texts.setdefault(letters_of(copy), copy)
        spans = of_text.setdefault(text, {})
        if copy[start : start + len(term)] != term:
            continue
        place = _placed(start, start + len(term), copy, text)
        if place is not None:
            spans.setdefault(place, classes[polarity])
    return Terms(
        texts=list(of_text),
        spans=[
            [Span(start=a, end=b, polarity=c) for (a, b), c in sorted(spans.items())]
            for spans in of_text.values()
        ],
    )


def _placed(start: int, end: int, copy: str, text: str) -> tuple[int, int] | None:
    """Return where characters start:end of a copy are in a text of the same letters and digits."""
    if copy == text:
        return start, end
    before = sum(map(str.isalnum, copy[:start]))
    inside = sum(map(str.isalnum, copy[start:end]))
    at = [place for place, letter in enumerate(text) if letter.isalnum()]
    return (at[before], at[before + inside - 1] + 1) if inside else None


def _csv(path: Path) -> pl.DataFrame:
    with gzip.open(path) as file:
        return pl.read_csv(file.read())


def _of_stars(name: str, frame: pl.DataFrame, title: str, text: str, stars: str) -> Labelled:
    frame = frame.select(title, text, stars).drop_nulls(stars).unique(maintain_order=True)
    texts = [review_text(head, body) for head, body in frame.select(title, text).iter_rows()]
    return Labelled(
        name=name, texts=texts, label=frame[stars].cast(pl.Float64).to_numpy(), by_class=False
    )


def _star_reviews(path: Path, name: str) -> Labelled:
    with gzip.open(path) as file:
        frame = pl.read_ndjson(file.read())
    return _of_stars(name, frame, "title", "text", "rating")


def online_shopping(data: Path) -> Labelled:
    """Chinese reviews of ten product categories, positive or negative."""
    frame = (
        pl.read_csv(data / "reviews_zh/online_shopping_10_cats.csv.gz")
        .drop_nulls("review")
        .unique("review", keep="first", maintain_order=True)
    )
    return Labelled(
        name="online_shopping_10_cats",
        texts=[clean_text(text) for text in frame["review"]],
        label=frame["label"].to_numpy() * 2,
        by_class=True,
        topic=frame["cat"].rank("dense").cast(pl.Int64).to_numpy() - 1,
    )


def evened(source: Labelled, *, repeats: int = 4, seed: int = 0) -> Labelled:
    """Even out the labels within each topic, so that a topic does not come to stand for a label.

    The rarer label is repeated up to `repeats` times and the other cut to twice that.
    """
    rng = np.random.default_rng(seed)
    keep: list[np.ndarray] = []
    for topic in np.unique(source.topic):
        of_topic = source.topic == topic
        sides = [
            rng.permutation(np.flatnonzero(of_topic & (source.label == label)))
            for label in np.unique(source.label[of_topic])
        ]
        least, most = min(map(len, sides)), max(map(len, sides))
        times = max(1, min(repeats, most // least))
        for rows in sides:
            many = np.tile(rows, times) if len(rows) == least else rows
            keep.append(many[: 2 * times * least])
    return _rows(source, np.sort(np.concatenate(keep)))


def weibo_emotions(data: Path) -> Emotional:
    """Chinese posts, each with one of six labels; `neutral` is one of them."""
    frame = (
        pl.read_csv(data / "emotion/smp2020_weibo.csv.gz")
        .drop_nulls(["text", "label"])
        .unique("text", keep="first", maintain_order=True)
    )
    names = sorted(frame["label"].unique())
    labels = np.array([[label == name for name in names] for label in frame["label"]])
    return Emotional(names=names, texts=[clean_text(t) for t in frame["text"]], labels=labels)


def chinese_aspect_terms(data: Path) -> Terms:
    """Chinese sentences of product reviews and courses with aspect terms."""
    frame = _csv(data / "aspects_zh/aspect_terms.csv.gz")
    return _terms(frame.filter(pl.col("domain") != _OPINION_DOMAIN))


def shampoo_opinions(data: Path) -> Terms:
    """Chinese reviews of shampoo with opinions, which are phrases and no aspect terms.

    The file has a review once for each opinion, with a space put behind that one.
    """
    frame = _csv(data / "aspects_zh/aspect_terms.csv.gz")
    frame = frame.filter(pl.col("domain") == _OPINION_DOMAIN)
    texts = []
    for text, term, start in frame.select("text", "aspect", "char_pos").iter_rows():
        end = start + len(term)
        texts.append(text[:end] + text[end:].removeprefix(" "))
    return _terms(frame.with_columns(text=pl.Series(texts, dtype=pl.String)))


def dianping_terms(data: Path, split: str) -> Terms:
    """Chinese restaurant reviews with aspect terms, each at its first place in the text."""
    frame = _csv(data / "aspects_zh/dianping_triplets.csv.gz")
    frame = frame.filter(pl.col("split") == split).drop_nulls(["text", "aspect", "polarity"])
    starts = [text.find(term) for text, term in frame.select("text", "aspect").iter_rows()]
    frame = frame.with_columns(char_pos=pl.Series(starts)).filter(pl.col("char_pos") >= 0)
    return _terms(frame)


def training_terms(data: Path, domains: Sequence[str] | None = None) -> Terms:
    """Return aspect sentences but the held-out tenth of laptops and restaurants, in any spelling.

    Years and data sets of reviews of restaurants share sentences.
    """
    test = {letters_of(text) for text in held_out_terms(data).texts}
    terms = aspect_terms(data, domains)
    kept = [row for row, text in enumerate(terms.texts) if letters_of(text) not in test]
    return Terms(texts=[terms.texts[r] for r in kept], spans=[terms.spans[r] for r in kept])


def held_out_terms(data: Path) -> Terms:
    """Return the tenth of laptop and restaurant sentences that is never trained on."""
    terms = aspect_terms(data, _HELD_OUT_DOMAINS)
    kept = np.flatnonzero(held_out(terms.texts)).tolist()
    return Terms(texts=[terms.texts[r] for r in kept], spans=[terms.spans[r] for r in kept])


def single_terms(terms: Terms, data: Path) -> Terms:
    """Leave out English sentences that the file has in several spellings or data sets."""
    copies = _csv(data / "aspects_en/aspect_terms.csv.gz").select("domain", "text").unique()
    spellings = Counter(map(letters_of, copies["text"]))
    kept = [row for row, text in enumerate(terms.texts) if spellings[letters_of(text)] == 1]
    return Terms(texts=[terms.texts[r] for r in kept], spans=[terms.spans[r] for r in kept])


def acos_opinions(data: Path, split: str) -> Terms:
    """English laptop and restaurant reviews with opinions; one without a term is of the whole text.

    A whole text counts where all its opinions agree. Source: Cai et al. 2021,
    "Aspect-Category-Opinion-Sentiment Quadruple Extraction".
    """
    frame = _csv(data / "aspects_en/acos_quads.csv.gz").filter(pl.col("split") == split)
    classes = {"negative": 0, "neutral": 1, "positive": 2}
    found: dict[str, dict[tuple[int, int], set[int]]] = {}
    for text, span, polarity in frame.select("text", "aspect_span", "polarity").iter_rows():
        first, last = map(int, span.split(","))
        words = text.split(" ")
        start = sum(len(word) + 1 for word in words[:first]) if first >= 0 else 0
        end = start + len(" ".join(words[first:last])) if first >= 0 else len(text)
        found.setdefault(text, {}).setdefault((start, end), set()).add(classes[polarity])
    for text, spans in found.items():
        if len(set().union(*spans.values())) > 1:
            spans.pop((0, len(text)), None)
    return Terms(
        texts=list(found),
        spans=[
            [
                Span(start=start, end=end, polarity=next(iter(polarities)))
                for (start, end), polarities in spans.items()
                if len(polarities) == 1
            ]
            for spans in found.values()
        ],
    )


def clauses_of_terms(terms: Terms) -> Terms:
    """Return clauses as spans: one that holds terms of one polarity has that polarity."""
    spans = []
    for text, of_text in zip(terms.texts, terms.spans, strict=True):
        clauses = []
        for start, end in clause_spans(text):
            found = {span.polarity for span in of_text if start <= span.start < end}
            if len(found) == 1:
                clauses.append(Span(start=start, end=end, polarity=found.pop()))
        spans.append(clauses)
    return Terms(texts=terms.texts, spans=spans)


def clauses_with_needs(texts: Sequence[str], needs: Sequence[Sequence[Need]]) -> Terms:
    """Return every clause as a span of class 0, or 1 + the kind of the need that covers half of it.

    Args:
        texts: N texts.
        needs: The needs of each.
    """
    spans = []
    for text, of_text in zip(texts, needs, strict=True):
        clauses = []
        for start, end in clause_spans(text):
            kinds = [
                1 + NEED_KINDS.index(need.kind)
                for need in of_text
                if 2 * (min(end, need.end) - max(start, need.start)) >= end - start
            ]
            clauses.append(Span(start=start, end=end, polarity=kinds[0] if kinds else 0))
        spans.append(clauses)
    return Terms(texts=list(texts), spans=spans)


def stars_of_terms(terms: Terms) -> np.ndarray:
    """Return the stars that the terms of a text allow, bool, shape (N, 5).

    Terms that agree stand for the whole text; where they do not, or there are none, all stars are
    allowed.
    """
    allowed = np.ones((len(terms.texts), 5), dtype=bool)
    by_polarity = np.array([[1, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 1]], dtype=bool)
    for row, spans in enumerate(terms.spans):
        found = {span.polarity for span in spans}
        if len(found) == 1:
            allowed[row] = by_polarity[found.pop()]
    return allowed
