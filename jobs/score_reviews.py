"""Score what has no signals of this model version yet: a Ray Data job with a pool of model actors.

The rows to score go through the actors in windows and are committed window by window. Whatever was
committed when a worker or the driver is killed stays; the next run scores the rest. Reviews with
the same words are scored once and copied.
"""

import io
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl

from features.schema import TABLES
from features.store import Store
from jobs.ray_session import ray_session
from sentiment.scorer import ReviewScorer, ScorerConfig, model_version

REVIEWS, ITEM_TEXTS = "review_signals", "item_texts"
_REVIEW, _ITEM = "review", "item"
_SORT_ROWS = 65_536


@dataclass(frozen=True, kw_only=True)
class ScoreConfig:
    """How reviews are scored.

    Attributes:
        scorer: Which models, and how they run.
        num_actors: Model actors.
        threads: CPU threads of each actor.
        window: Rows an actor takes at once; batches are sorted by length inside it, and it is what
            a commit holds.
    """

    scorer: ScorerConfig
    num_actors: int = 1
    threads: int = 2
    window: int = 512

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("num_actors", "threads", "window"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class ScoreReport:
    """What one run did.

    Attributes:
        model_version: Stamped on every row.
        scored: Reviews that went through the model.
        copied: Reviews that share their words with a scored one.
        items: Item descriptions embedded.
        unchanged: Reviews that had signals of this version already.
    """

    model_version: str
    scored: int
    copied: int
    items: int
    unchanged: int


class ScoringActor:
    """Holds one model; used by Ray Data."""

    def __init__(self, config: ScorerConfig, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        self._scorer = ReviewScorer.load(config)

    def __call__(self, batch: Any) -> dict[str, list[Any]]:
        """Score one window; return it as one Arrow IPC message, so that no type is lost."""
        rows = pl.from_arrow(batch)
        assert isinstance(rows, pl.DataFrame)
        signals = self._scorer.score_reviews(rows.rename({"id": "review_id"}))
        buffer = io.BytesIO()
        signals.with_columns(rows["kind"], rows["text_key"]).write_ipc(buffer, compression="lz4")
        return {"signals": [buffer.getvalue()]}


def score(
    store: Store,
    config: ScoreConfig,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ScoreReport:
    """Score every review and item description without signals of this model version.

    Args:
        store: Where the tables are.
        config: How to score.
        progress: Called with rows done and rows in all.

    Returns:
        What was done.

    Raises:
        StoreError: If there are no reviews.
        SentimentError: If the encoder or its weights cannot be loaded.
    """
    version = model_version(config.scorer)
    with store.lock("score"):
        store.scan("reviews")
        if not store.fits(REVIEWS):
            # Signals of an older contract: every review is to be scored again in any case.
            store.overwrite(REVIEWS, TABLES[REVIEWS].create_empty())
        unchanged = _scored_reviews(store, version).select(pl.len()).collect().item()
        items = _pending_items(store, version)
        pending = pl.concat([_pending_reviews(store, version), items], how="vertical")
        scored, embedded = _score_pending(store, pending, config, version, progress)
        copied = _copy_duplicates(store, version)
        for table in (REVIEWS, ITEM_TEXTS):
            if store.exists(table):
                store.compact(table)
    return ScoreReport(
        model_version=version, scored=scored, copied=copied, items=embedded, unchanged=unchanged
    )


def _score_pending(
    store: Store,
    pending: pl.LazyFrame,
    config: ScoreConfig,
    version: str,
    progress: Callable[[int, int], None],
) -> tuple[int, int]:
    """Stream pending rows through the actors, commit each window; return reviews, items done."""
    total = pending.select(pl.len()).collect().item()
    if not total:
        return 0, 0
    progress(0, total)
    done = {_REVIEW: 0, _ITEM: 0}
    with ray_session():
        import ray

        # Ray's object store holds the windows, and spills what memory cannot.
        blocks = [ray.put(rows.to_arrow()) for rows in _windows(pending, config.window)]
        for frame in _scored_windows(blocks, config):
            for kind, table in ((_REVIEW, REVIEWS), (_ITEM, ITEM_TEXTS)):
                rows = frame.filter(pl.col("kind") == kind)
                if len(rows):
                    store.append(table, _as_table(rows, table, version))
                    done[kind] += len(rows)
            progress(sum(done.values()), total)
    return done[_REVIEW], done[_ITEM]


def _windows(pending: pl.LazyFrame, window: int) -> Iterator[pl.DataFrame]:
    """Yield pending rows in windows of similar lengths, sorted within stretches of `_SORT_ROWS`."""
    length = pl.sum_horizontal(
        pl.col(name).str.len_bytes().fill_null(0) for name in ("title", "text")
    )
    for stretch in pending.collect_batches(chunk_size=_SORT_ROWS, maintain_order=True):
        yield from stretch.sort(length, "id", descending=True).iter_slices(window)


def _scored_windows(blocks: list[Any], config: ScoreConfig) -> Iterator[pl.DataFrame]:
    """Yield each window's signals as soon as an actor is done with it."""
    import ray.data

    on_gpu = config.scorer.device.startswith("cuda")
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    # One block a window: a block is what Ray hands over, and retries, as a whole.
    windows = ray.data.from_arrow_refs(blocks).map_batches(
        ScoringActor,
        batch_size=None,
        batch_format="pyarrow",
        fn_constructor_kwargs={"config": config.scorer, "threads": config.threads},
        compute=ray.data.ActorPoolStrategy(size=config.num_actors),
        num_cpus=1,
        num_gpus=1 if on_gpu else None,
    )
    for row in windows.iter_rows():
        yield pl.read_ipc(io.BytesIO(row["signals"]))


def _as_table(rows: pl.DataFrame, table: str, version: str) -> pl.DataFrame:
    if table == REVIEWS:
        return rows.select(list(TABLES[REVIEWS].columns()))
    return rows.select(
        pl.col("review_id").alias("item_id"),
        pl.lit(version).alias("model_version"),
        "text_key",
        "language",
        "embedding",
    )


def _text_key() -> pl.Expr:
    """128-bit key of the words of a row; equal words have equal keys."""
    words = pl.struct(pl.col("title").fill_null(""), pl.col("text").fill_null(""))
    low, high = words.hash(seed=1), words.hash(seed=2)
    return pl.format("{}-{}", low, high)


def _scored_reviews(store: Store, version: str) -> pl.LazyFrame:
    if not store.exists(REVIEWS):
        return pl.LazyFrame(schema={"review_id": pl.String})
    scored = store.scan(REVIEWS).filter(pl.col("model_version") == version)
    return scored.select("review_id")


def _pending_reviews(store: Store, version: str) -> pl.LazyFrame:
    """One review of each distinct wording of which none is scored yet."""
    reviews = store.scan("reviews").select(
        pl.lit(_REVIEW).alias("kind"),
        pl.col("review_id").alias("id"),
        "title",
        "text",
        text_key=_text_key(),
    )
    scored = _scored_reviews(store, version).rename({"review_id": "id"})
    known_words = reviews.join(scored, on="id", how="semi").select("text_key").unique()
    return (
        reviews.join(known_words, on="text_key", how="anti")
        .sort("id")
        .unique("text_key", keep="first", maintain_order=True)
    )


def _pending_items(store: Store, version: str) -> pl.LazyFrame:
    """Items with a title or description whose words have no embedding of this version."""
    if not store.exists("items"):
        return pl.LazyFrame(
            schema={
                "kind": pl.String,
                "id": pl.String,
                "title": pl.String,
                "text": pl.String,
                "text_key": pl.String,
            }
        )
    items = (
        store.scan("items")
        .filter(pl.col("title").is_not_null() | pl.col("description").is_not_null())
        .select(
            pl.lit(_ITEM).alias("kind"),
            pl.col("item_id").alias("id"),
            "title",
            pl.col("description").alias("text"),
        )
        .with_columns(text_key=_text_key())
    )
    if not store.exists(ITEM_TEXTS):
        return items
    known = (
        store.scan(ITEM_TEXTS)
        .filter(pl.col("model_version") == version)
        .select(pl.col("item_id").alias("id"), "text_key")
    )
    return items.join(known, on=["id", "text_key"], how="anti")


def _copy_duplicates(store: Store, version: str) -> int:
    """Give unscored reviews the signals of a scored review with the same words."""
    reviews = store.scan("reviews").select("review_id", text_key=_text_key())
    signals = store.scan(REVIEWS).filter(pl.col("model_version") == version)
    scored = signals.select("review_id")
    missing = reviews.join(scored, on="review_id", how="anti").collect()
    if missing.is_empty():
        return 0
    originals = (
        reviews.join(scored, on="review_id", how="semi")
        .sort("review_id")
        .unique("text_key", keep="first")
        .rename({"review_id": "original"})
    )
    copies = (
        missing.lazy()
        .join(originals, on="text_key")
        .join(signals, left_on="original", right_on="review_id")
        .select(list(TABLES[REVIEWS].columns()))
        .collect()
    )
    store.append(REVIEWS, copies)
    return len(copies)
