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
from jobs.errors import BadInputError
from jobs.ray_session import ray_session
from jobs.scoring_actors import SIGNALS, scored_windows
from sentiment.scorer import ScorerConfig, model_version

REVIEWS, ITEM_TEXTS = "review_signals", "item_texts"
_REVIEW, _ITEM = "review", "item"
_SORT_ROWS = 65_536
# Beside a GPU: cleaning, cutting and gathering take a core several times as long as the pass there.
_CPU_ACTORS = 4


@dataclass(frozen=True, kw_only=True)
class ScoreConfig:
    """How reviews are scored.

    Attributes:
        scorer: Which models, and how they run.
        num_actors: Model actors.
        num_cpu_actors: Actors that prepare texts for them, and as many that finish what they said;
            0 leaves that to the model actors. None: 0 on a CPU; beside a GPU 4, or what fits.
        threads: CPU threads of each actor.
        window: Rows an actor takes at once; batches are sorted by length inside it, and it is what
            a commit holds.
    """

    scorer: ScorerConfig
    num_actors: int = 1
    num_cpu_actors: int | None = None
    threads: int = 2
    window: int = 512

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("num_actors", "threads", "window"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if (self.num_cpu_actors or 0) < 0:
            raise ValueError(f"num_cpu_actors must be at least 0, not {self.num_cpu_actors}")


@dataclass(frozen=True, kw_only=True)
class ScoreReport:
    """What one run did.

    Attributes:
        model_version: Stamped on every row.
        scored: Reviews that went through the model.
        copied: Reviews that share their words with a scored one.
        items: Item descriptions embedded.
        unchanged: Reviews that had signals of this version already.
        precision: Of the model's matrix products, `bf16` or `fp32`, as the device allows.
    """

    model_version: str
    scored: int
    copied: int
    items: int
    unchanged: int
    precision: str


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
        if not store.exists(REVIEWS) or not store.fits(REVIEWS):
            # None yet, though there may be no text to make one from; or of an older contract, when
            # every review is to be scored again in any case.
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
        model_version=version,
        scored=scored,
        copied=copied,
        items=embedded,
        unchanged=unchanged,
        precision=config.scorer.precision_name,
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

    num_cpu_actors = _cpu_actors(config, int(ray.cluster_resources().get("CPU", 1)))
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    # One block a window: a block is what Ray hands over, and retries, as a whole.
    windows = scored_windows(
        ray.data.from_arrow_refs(blocks),
        config.scorer,
        num_actors=config.num_actors,
        num_cpu_actors=num_cpu_actors,
        threads=config.threads,
    )
    for row in windows.iter_rows():
        yield pl.read_ipc(io.BytesIO(row[SIGNALS]))


def _cpu_actors(config: ScoreConfig, num_cpus: int) -> int:
    """Return how many actors prepare, and as many finish, within what the model actors leave.

    Ray waits forever for actors that do not fit: those that finish would never start.

    Raises:
        BadInputError: If more are asked for than fit.
    """
    most = max(0, num_cpus - config.num_actors)
    asked = config.num_cpu_actors
    if asked is None:
        return min(_CPU_ACTORS, most) if config.scorer.device.startswith("cuda") else 0
    if asked > most:
        raise BadInputError(
            f"num_cpu_actors is {asked} and at most {most} fit: Ray has {num_cpus} CPUs, of which "
            f"num_actors takes {config.num_actors}"
        )
    return asked


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
