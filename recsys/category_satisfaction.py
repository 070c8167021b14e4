"""How likely a user is to be satisfied with their next purchase of a category.

Learned from purchases that were judged or sent back (`features.felt_purchases`), each with what was
known just before it: the user's declared features, and how often the user, the buyers of the
category, and the user within the category were satisfied until then. Nothing is said of who never
tells: the probability is that of a purchase that will be judged.

Shape suffixes: N rows, F features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
from sklearn.linear_model import LogisticRegression

from features.day_state import total_column
from features.feature import Measure
from features.felt_purchases import felt_purchases
from features.training_frames import LABEL_TIME, features_at, totals_at
from recsys.errors import NotEnoughDataError
from recsys.outcomes import BackTest, fit_rows
from recsys.propensity import FEATURES, PropensityConfig, PropensityModel, feature_matrix
from recsys.propensity_evaluation import auc_gain, outcome_figures
from recsys.world import ShopTables

OURS, BY_CATEGORY, BY_BOTH = "all features", "category's share", "shares, logistic"
PRIOR_PURCHASES = 5.0
_USER, _ROW = "user_", "_row"  # LightGBM takes no colons.
_PAIR = pl.concat_str("user_id", "category", separator="\x00")
_SHOP = pl.lit("shop")
_TOLD = Measure(name="told", value=pl.col("satisfied").is_not_null().cast(pl.Int64))
_SATISFIED = Measure(name="satisfied", value=pl.col("satisfied").cast(pl.Int64))
_MEASURES = (_TOLD, _SATISFIED)
_OF_WHOM = ("user_id", "category", "pair")
_KNOWN = tuple(f"{whose}_{what}" for whose in _OF_WHOM for what in ("told", "share"))
NAMES = (*(_USER + name for name in FEATURES), *_KNOWN)
_DEFAULT = PropensityConfig()


@dataclass(frozen=True, kw_only=True)
class CategorySatisfaction:
    """A fitted model, with the purchases it goes by.

    Attributes:
        model: Trees over `NAMES`.
        felt: What `features.felt_purchases.felt_purchases` returns of before the fit.
    """

    model: PropensityModel
    felt: pl.DataFrame

    def predict(self, asked: pl.DataFrame, tables: ShopTables) -> np.ndarray:
        """Return probabilities, within 0..1, shape (N,).

        Args:
            asked: `user_id, category, label_time`.
            tables: The shop's tables.
        """
        rows = known_before(asked, self.felt, tables)
        return self.model.predict(feature_matrix(rows, NAMES))


def known_before(asked: pl.DataFrame, felt: pl.DataFrame, tables: ShopTables) -> pl.DataFrame:
    """Add `NAMES`, as of strictly before each row's `label_time`, to `user_id, category`.

    Shares are pulled towards that of all purchases that were told until then, by as much as
    `PRIOR_PURCHASES` more of them would.
    """
    rows = features_at(
        asked,
        tables.items.lazy(),
        tables.events.lazy(),
        tables.reviews.lazy(),
        tables.signals.lazy(),
    ).rename(lambda name: name.replace("user:", _USER))
    told = felt.with_columns(event_time=pl.col("told_at"), pair=_PAIR, shop=_SHOP).lazy()
    rows = rows.with_columns(as_of=pl.col(LABEL_TIME), pair=_PAIR, shop=_SHOP).with_row_index(_ROW)
    num, total = (total_column(measure.name, None) for measure in _MEASURES)
    totals = [(measure.name, None) for measure in _MEASURES]
    # A shop without a past is taken to please every other buyer.
    share: pl.Expr = (pl.col(total) + 1) / (pl.col(num) + 2)
    for whose in ("shop", *_OF_WHOM):
        counted = totals_at(rows.select(_ROW, "as_of", whose), told, whose, _MEASURES, totals)
        rows = rows.join(counted.select(_ROW, num, total), on=_ROW).with_columns(
            share.alias(f"{whose}_share"), pl.col(num).alias(f"{whose}_told")
        )
        rows = rows.drop(num, total)
        of_all = PRIOR_PURCHASES * pl.col("shop_share")
        share = (pl.col(total) + of_all) / (pl.col(num) + PRIOR_PURCHASES)
    return rows.sort(_ROW)


def fit_category_satisfaction(
    tables: ShopTables, *, now: datetime, config: PropensityConfig = _DEFAULT
) -> CategorySatisfaction:
    """Learn from what was told before `now`; later rows are not read.

    Raises:
        NotEnoughDataError: If too few users were satisfied, or not.
    """
    felt, rows = _learned(tables, now)
    return CategorySatisfaction(model=fit_rows(rows, NAMES, config), felt=felt)


def satisfaction_back_test(
    tables: ShopTables, *, now: datetime, config: PropensityConfig = _DEFAULT
) -> BackTest:
    """Learn before a time, tell each user's next judged purchase after it, and compare.

    The peers are the category's share alone, and a logistic regression on the shares of
    category and user and how many purchases stand behind them.

    Args:
        tables: The shop's tables, beyond `now`.
        now: When.
        config: How the trees grow.

    Raises:
        NotEnoughDataError: If there is too little to learn from or to test on.
    """
    felt, learned = _learned(tables, now)
    model = fit_rows(learned, NAMES, config)
    later = _felt(tables, tables.events, tables.reviews).filter(pl.col("bought_at") >= now)
    coming = later.unique("user_id", keep="first", maintain_order=True)
    label = coming["satisfied"].to_numpy()
    if not 0 < label.sum() < len(label):
        raise NotEnoughDataError(
            f"of {len(label):,} purchases after {now.isoformat()} {label.sum():,} satisfied: how "
            "well that was told cannot be measured"
        )
    asked = coming.select("user_id", "category", pl.lit(now).alias(LABEL_TIME), "satisfied")
    rows = known_before(asked, felt, tables)
    peer = LogisticRegression(max_iter=1000)
    peer.fit(_shares(learned), learned["label"].to_numpy())
    scores = {
        OURS: model.predict(feature_matrix(rows, NAMES)),
        BY_CATEGORY: rows["category_share"].to_numpy(),
        BY_BOTH: peer.predict_proba(_shares(rows))[:, 1],
    }
    return BackTest(
        figures={name: outcome_figures(score, label) for name, score in scores.items()},
        gains={
            name: auc_gain(scores[OURS], scores[name], label) for name in (BY_CATEGORY, BY_BOTH)
        },
        num_asked=len(label),
        num_outcomes=int(label.sum()),
        importance=model.importance(),
    )


def _felt(tables: ShopTables, events: pl.DataFrame, reviews: pl.DataFrame) -> pl.DataFrame:
    return felt_purchases(events.lazy(), reviews.lazy(), tables.items.lazy(), tables.signals.lazy())


def _learned(tables: ShopTables, now: datetime) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the purchases told before a time, and the same with what was known before them."""
    seen = pl.col("event_time") < now
    felt = _felt(tables, tables.events.filter(seen), tables.reviews.filter(seen))
    if felt.is_empty():
        raise NotEnoughDataError(f"no purchase was judged before {now.isoformat()}")
    asked = felt.select(
        "user_id", "category", pl.col("bought_at").alias(LABEL_TIME), label="satisfied"
    )
    return felt, known_before(asked, felt, tables)


def _shares(rows: pl.DataFrame) -> np.ndarray:
    names: Sequence[str] = ("category_share", "user_id_share", "pair_share")
    counts = ("category_told", "user_id_told", "pair_told")
    shares = feature_matrix(rows, names)
    return np.column_stack([shares, np.log1p(feature_matrix(rows, counts))])
