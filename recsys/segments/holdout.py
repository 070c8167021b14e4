"""Who of a segment is left alone, so that what a message does can be measured.

Who is held out is drawn by salted hash (`recsys.lots`), as variants of experiments are: the same
today and tomorrow, whoever else is in the segment. Those who are held out and those who are not are
the two arms of an experiment that `sentirec abtest analyze` reads.
"""

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from recsys.lots import share_of

CONTROL, TREATMENT = "control", "treatment"


@dataclass(frozen=True, kw_only=True)
class Holdout:
    """How many are held out.

    Attributes:
        share: Of users, within 0..1, 1 left out.
        salt: Of the draw; another salt holds out others.
    """

    share: float
    salt: str

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0 <= self.share < 1:
            raise ValueError(f"the share that is held out is within 0..1, not {self.share}")
        if not self.salt:
            raise ValueError("a holdout needs a salt: else all segments would hold out the same")


def held_out(user_ids: pl.Series, holdout: Holdout) -> pl.Series:
    """Tell who is held out, Boolean, parallel to the ids."""
    if holdout.share == 0:
        return pl.Series("held_out", [False]).new_from_index(0, len(user_ids))
    drawn = [share_of(holdout.salt, user) < holdout.share for user in user_ids]
    return pl.Series("held_out", drawn, dtype=pl.Boolean)


def exposures(
    sent: pl.Series, withheld: pl.Series, *, experiment: str, at: datetime
) -> pl.DataFrame:
    """Return the log of exposures of an experiment, as `sentirec abtest analyze` reads it.

    Args:
        sent: Ids of users who were written to: the treatment.
        withheld: Ids of users who were held out: the control.
        experiment: Its name.
        at: When.

    Returns:
        `user_id, experiment, variant, event_time`, sorted by user.
    """
    arms = [
        pl.DataFrame({"user_id": users}, schema={"user_id": pl.String}).with_columns(
            experiment=pl.lit(experiment), variant=pl.lit(name), event_time=pl.lit(at)
        )
        for name, users in ((TREATMENT, sent), (CONTROL, withheld))
    ]
    return pl.concat(arms).sort("user_id")
