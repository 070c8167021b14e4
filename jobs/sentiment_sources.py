"""The public data that sentiment models are trained on, read into texts and labels.

A tenth of every source, chosen by a hash of the text, is never trained on.
"""

import gzip
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl

from sentiment.cleaning import clean_text, review_text, text_key
from sentiment.training import NEGATIVE_STARS, POSITIVE_STARS

UNSEEN_REVIEWS = 2000


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
    frame = read_csv(data / "reviews/product_reviews_30k.csv.gz")
    return _of_stars("product_reviews", frame, "reviews_title", "reviews_text", "reviews_rating")


def clothing(data: Path, *, most: int | None = None) -> Labelled:
    """Women's clothing, skewed to five stars; the first `most` of the file."""
    frame = read_csv(data / "reviews/womens_clothing.csv.gz").head(most or 1 << 30)
    return _of_stars("clothing", frame, "Title", "Review Text", "Rating")


def magazines(data: Path) -> Labelled:
    """Magazine subscriptions."""
    return _star_reviews(data / "reviews/amazon_magazine_2018_5core.jsonl.gz", "magazines")


def beauty(data: Path) -> Labelled:
    """Beauty products, very skewed to five stars."""
    return _star_reviews(data / "reviews/amazon_all_beauty_2018_5core.jsonl.gz", "beauty")


def stanford_sentences(data: Path) -> Labelled:
    """Single sentences of film reviews in five classes, which stand for one to five stars."""
    frame = read_csv(data / "sentiment_en/sst_fine.csv.gz").filter(pl.col("split") == "train")
    frame = frame.with_columns(stars=pl.col("label") + 1, title=pl.lit(None, dtype=pl.String))
    return _of_stars("stanford_sentences", frame, "title", "text", "stars")


def tweets(data: Path) -> Labelled:
    """Posts of three classes, which stand for two, three and four stars."""
    frame = read_csv(data / "sentiment_en/tweeteval_sentiment_val.csv.gz")
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
    frame = read_csv(data / "emotion/goemotions.csv.gz")
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


def read_csv(path: Path) -> pl.DataFrame:
    """Read a compressed CSV file whole."""
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
