"""Tell what every user will do next, and how well the same was told a horizon ago."""

import dataclasses
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from features.affinity import NUM_FAVOURITES
from features.profile_state import ProfileState, priced_events
from features.profiles import user_features, visible_state
from features.purchase_days import purchase_days
from features.store import Store
from features.training_frames import LABEL_TIME
from features.visibility import Visible, everything
from jobs.errors import NotDecidableError
from jobs.load_shop import load_shop
from recsys.category_satisfaction import fit_category_satisfaction, satisfaction_back_test
from recsys.customer_value import customer_values
from recsys.errors import NotEnoughDataError
from recsys.outcomes import BackTest, OutcomeQuestion, back_test, fit_outcome
from recsys.propensity import feature_matrix
from recsys.world import ShopTables

TABLE = "user_outcomes"
SATISFACTION_TABLE = "category_satisfaction"
SATISFACTION = "satisfaction"
_COLUMNS = {"purchase": "purchase_probability", "churn": "churn_probability"}


@dataclass(frozen=True, kw_only=True)
class OutcomesReport:
    """What was written, and how far to trust it.

    Attributes:
        as_of: The users' present.
        rows: Users told.
        satisfaction_rows: Users and categories told.
        told: What each outcome is, in words.
        back_tests: By outcome; None where the events do not reach back two horizons.
        notes: What could not be told, and why.
    """

    as_of: datetime
    rows: int
    satisfaction_rows: int
    told: dict[str, str]
    back_tests: dict[str, BackTest | None]
    notes: list[str]


def outcomes(store: Store, *, version: str, as_of: datetime, horizon_days: int) -> OutcomesReport:
    """Write the tables `user_outcomes` and `category_satisfaction`.

    `user_outcomes` has a row for each user with any event or review before `as_of`. Columns:
    `user_id, as_of, horizon_days`; `purchase_probability`; of customers, `churn_probability`,
    `probability_alive`, `expected_purchases` (purchase days) and
    `expected_cents`, all within the horizon.

    `category_satisfaction` has a row for each user and narrowest category they turn to most (`""`
    where a user turns to none): `user_id, category, as_of, satisfaction_probability` of their next
    purchase there, should they judge it. Where that cannot be told it is empty.

    Args:
        store: Where the tables are.
        version: Model version of the signals.
        as_of: Nothing at or after this time is used.
        horizon_days: How far ahead.

    Raises:
        StoreError: If a table is missing.
        BadInputError: If reviews lack signals of this version.
        NotDecidableError: If nothing at all could be told of what users will do.
    """
    shop = load_shop(store, version)
    visible = everything(shop.events, shop.reviews, as_of=as_of)
    state = visible_state(shop.items.lazy(), visible, shop.signals.lazy())
    users = user_features(state, as_of).sort("user_id").collect()
    told = users.select(
        "user_id", as_of=pl.lit(as_of), horizon_days=pl.lit(horizon_days, dtype=pl.Int32)
    )
    tests: dict[str, BackTest | None] = {}
    notes = []
    for outcome, column in _COLUMNS.items():
        question = OutcomeQuestion(outcome=outcome, horizon_days=horizon_days)
        probability = pl.lit(None, dtype=pl.Float64)
        try:
            model = fit_outcome(shop, question, now=as_of)
            told_now = pl.Series(model.predict(feature_matrix(users)))
            asked = pl.lit(True) if outcome == "purchase" else users["num_purchases"] > 0
            probability = pl.when(asked).then(told_now)
        except NotEnoughDataError as error:
            notes.append(f"{column}: {error}")
        told = told.with_columns(probability.alias(column))
        tests[outcome] = _back_test(shop, question, as_of)
    values, note = _values(shop, visible, horizon_days)
    told = told.join(values, on="user_id", how="left", maintain_order="left")
    notes += note
    if len(notes) == len(_COLUMNS) + 1:
        raise NotDecidableError("; ".join(notes))
    satisfaction, tests[SATISFACTION], more = _satisfaction(shop, state, as_of, horizon_days)
    store.overwrite(TABLE, told)
    store.overwrite(SATISFACTION_TABLE, satisfaction)
    words = {outcome: f"{outcome} within {horizon_days} days" for outcome in _COLUMNS}
    words[SATISFACTION] = "satisfied with the next purchase of a category"
    return OutcomesReport(
        as_of=as_of,
        rows=len(told),
        satisfaction_rows=len(satisfaction),
        told=words,
        back_tests=tests,
        notes=[*notes, *more],
    )


def _satisfaction(
    shop: ShopTables, state: ProfileState, as_of: datetime, horizon_days: int
) -> tuple[pl.DataFrame, BackTest | None, list[str]]:
    # The narrowest category of an item, as in the purchases that are learned from.
    narrowest = shop.items.lazy().select("item_id", category=pl.col("categories").list.last())
    turned = (
        state.turned.join(narrowest.drop_nulls(), on="item_id")
        .group_by("user_id", "category")
        .agg(pl.col("weight").sum())
        .sort(["user_id", "weight", "category"], descending=[False, True, False])
        .group_by("user_id", maintain_order=True)
        .agg(pl.col("category").head(NUM_FAVOURITES))
    )
    asked = (
        user_features(state, as_of)
        .select("user_id")
        .join(turned, on="user_id", how="left")
        .with_columns(pl.col("category").fill_null([""]))
        .explode("category")
        .with_columns(pl.lit(as_of).alias(LABEL_TIME))
        .sort("user_id", "category")
        .collect()
    )
    told = asked.rename({LABEL_TIME: "as_of"})
    seen = pl.col("event_time") < as_of
    known = dataclasses.replace(
        shop, events=shop.events.filter(seen), reviews=shop.reviews.filter(seen)
    )
    try:
        model = fit_category_satisfaction(known, now=as_of)
    except NotEnoughDataError as error:
        nothing = told.clear().with_columns(satisfaction_probability=pl.lit(None, pl.Float64))
        return nothing, None, [f"satisfaction_probability: {error}"]
    probability = pl.Series("satisfaction_probability", model.predict(asked, known))
    try:
        test = satisfaction_back_test(known, now=as_of - timedelta(days=horizon_days))
    except NotEnoughDataError:
        test = None
    return told.with_columns(probability), test, []


def _back_test(shop: ShopTables, question: OutcomeQuestion, as_of: datetime) -> BackTest | None:
    try:
        return back_test(shop, question, [as_of - timedelta(days=question.horizon_days)])
    except NotEnoughDataError:
        return None


def _values(
    shop: ShopTables, visible: Visible, horizon_days: int
) -> tuple[pl.DataFrame, list[str]]:
    days = purchase_days(
        priced_events(visible.events.lazy(), shop.items.lazy()), as_of=visible.as_of
    )
    try:
        return customer_values(days, horizon_days=horizon_days), []
    except NotEnoughDataError as error:
        names = ("probability_alive", "expected_purchases", "expected_cents")
        unknown = {name: pl.lit(None, dtype=pl.Float64) for name in names}
        return days.select("user_id").with_columns(**unknown), [f"value: {error}"]
