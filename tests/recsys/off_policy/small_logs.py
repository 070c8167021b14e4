"""Logs small enough to compute by hand, and one of known truth to draw from."""

import numpy as np
import polars as pl

from recsys.off_policy import Log, build_log

CHANCE = {"a": 0.5, "b": 0.25, "c": 0.25}
CLICK_RATE = {"a": 0.1, "b": 0.3, "c": 0.6}


def rows(items: str, propensity: list[float], click: list[float], **more: list) -> pl.DataFrame:
    """One row a letter of `items`."""
    return pl.DataFrame(
        {"item_id": list(items), "propensity": propensity, "click": click} | more, strict=False
    )


def by_hand() -> Log:
    """Four rows; weights for uniform over a and b are 0.5 / propensity: 1, 1, 2, 0.625."""
    return build_log(rows("abab", [0.5, 0.5, 0.25, 0.8], [1.0, 0.0, 1.0, 0.0]), "click")


def drawn(num_rows: int, seed: int = 0, chance: dict[str, float] = CHANCE) -> pl.DataFrame:
    """Rows that a policy of fixed chances showed, clicked at `CLICK_RATE`."""
    rng = np.random.default_rng(seed)
    items = rng.choice(list(chance), num_rows, p=list(chance.values()))
    click = rng.random(num_rows) < np.array([CLICK_RATE[item] for item in items])
    return rows("".join(items), [chance[item] for item in items], click.astype(float).tolist())


def chances(**of_items: float) -> pl.DataFrame:
    """A policy as a table."""
    return pl.DataFrame(
        {"item_id": list(of_items), "probability": [float(v) for v in of_items.values()]}
    )
