"""Both logs of an experiment cut into shards of users, as Parquet files in a folder.

Every log is read once. A shard has all rows of its users, told by a hash of their id, and rows
without a user are in the first. Of the columns only those are written that an analysis reads.
"""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from jobs.scan_abtest_logs import AbtestLogs
from recsys.abtest.plan import Plan

_EXPOSURES, _OUTCOMES = "exposures", "outcomes"
_OF_EXPOSURES = (
    "user_id",
    "variant",
    "event_time",
    "recommendation_id",
    "experiment",
    "policy_propensity",
)
_OF_OUTCOMES = (
    "user_id",
    "event_type",
    "event_time",
    "quantity",
    "price_cents",
    "polarity",
    "value",
    "experiment",
)
# A row group is what a reader holds at once of every shard.
_ROWS_A_GROUP = 131_072


@dataclass(frozen=True)
class Shard:
    """A part of the users on disk; see `recsys.abtest.parts.Part`.

    Attributes:
        folder: Of all shards.
        number: Of this one, from 0.
    """

    folder: Path
    number: int

    def exposures(self) -> pl.LazyFrame:
        """Return the exposures of its users."""
        return self._log(_EXPOSURES)

    def outcomes(self) -> pl.LazyFrame:
        """Return the outcomes of its users."""
        return self._log(_OUTCOMES)

    def keep(self, name: str, frame: pl.DataFrame) -> None:
        """Write a frame beside the logs."""
        # A task that runs again after its machine was lost writes the same.
        frame.write_parquet(self._path(name), compression="lz4")

    def kept(self, name: str) -> pl.LazyFrame:
        """Read a frame again, of which a caller selects columns."""
        return pl.scan_parquet(self._path(name))

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}-{self.number}.parquet"

    def _log(self, name: str) -> pl.LazyFrame:
        files = sorted((self.folder / name / f"shard={self.number}").glob("*.parquet"))
        # A shard that no row fell into has no file.
        paths = files or [self._path(f"no {name}")]
        return pl.scan_parquet(paths, hive_partitioning=False)


def partition(
    logs: AbtestLogs, plan: Plan, explored: list[str], folder: Path, num_shards: int
) -> list[Shard]:
    """Write the shards of both logs.

    Args:
        logs: To be cut.
        plan: Whose segments name columns that are wanted.
        explored: Further columns that are wanted.
        folder: To write into.
        num_shards: How many.
    """
    segments = [s.column for s in plan.segments if s.column is not None]
    wanted = {
        _EXPOSURES: (logs.exposures, (*_OF_EXPOSURES, *segments, *explored)),
        _OUTCOMES: (logs.outcomes, _OF_OUTCOMES),
    }
    shards = [Shard(folder, number) for number in range(num_shards)]
    for name, (log, columns) in wanted.items():
        schema = log.collect_schema()
        rows = log.select(column for column in schema.names() if column in columns)
        empty = pl.DataFrame(schema=rows.collect_schema())
        if "user_id" in schema:
            shard = (pl.col("user_id").hash(seed=1) % num_shards).alias("shard")
            no_user = pl.col("user_id").is_null()
            rows.sink_parquet(
                pl.PartitionBy(
                    folder / name,
                    key=pl.when(no_user).then(0).otherwise(shard).cast(pl.Int64).alias("shard"),
                    include_key=False,
                    approximate_bytes_per_file=None,
                ),
                compression="lz4",
                row_group_size=_ROWS_A_GROUP,
                statistics=False,
                mkdir=True,
            )
        for one in shards:
            one.keep(f"no {name}", empty)
    return shards
