"""Who of a segment may be written to: consent, suppression, frequency, erasure. It fails closed.

Whoever is not known to have agreed is out; so is whoever is known not to want a message, was
written to often enough, or was erased. Consent is read letter by letter, what speaks against a
message whatever its case and the blanks around it: doubt keeps people out.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import polars as pl

from features.tombstones import Tombstones

NO_RECORD = "no record of consent"
NO_CONSENT = "no consent"
SUPPRESSED = "suppressed"
CAPPED = "frequency cap"
ERASED = "erased"
RULES = (NO_RECORD, NO_CONSENT, SUPPRESSED, CAPPED, ERASED)
"""In the order in which they are asked."""
_RULE = "rule"


@dataclass(frozen=True, kw_only=True)
class AdmissionTables:
    """What decides who may be written to; the newest rows there are.

    Attributes:
        users: `user_id, consents` (list of channels).
        suppressions: As `features.schema.Suppressions`.
        contacts: As `features.schema.Contacts`.
        tombstones: Of erased users.
    """

    users: pl.LazyFrame
    suppressions: pl.LazyFrame
    contacts: pl.LazyFrame
    tombstones: Tombstones


@dataclass(frozen=True, kw_only=True)
class FrequencyCap:
    """How often a person may be written to in one channel.

    Attributes:
        max_contacts: At most so many, at least 1 ...
        days: ... within so many days, above 0, up to the moment of the next.
    """

    max_contacts: int
    days: float

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.max_contacts < 1 or not 0 < self.days <= 36_525:
            raise ValueError(
                f"a frequency cap is of at least 1 contact in 0 to 36,525 days, not "
                f"{self.max_contacts} in {self.days}"
            )


@dataclass(frozen=True)
class Admission:
    """Who may be written to.

    Attributes:
        user_ids: Sorted, each once.
        dropped: Rule of `RULES` to users, each counted under the first rule that drops them.
    """

    user_ids: pl.Series
    dropped: dict[str, int]


def narrowed(tables: AdmissionTables, members: pl.Series) -> AdmissionTables:
    """Return what is known of some users alone, held in memory: for several channels at once."""
    wanted = members.rename("user_id").to_frame().lazy()
    users, suppressions, contacts = pl.collect_all(
        [
            frame.join(wanted, on="user_id", how="semi")
            for frame in (tables.users, tables.suppressions, tables.contacts)
        ],
        engine="streaming",
    )
    return replace(
        tables, users=users.lazy(), suppressions=suppressions.lazy(), contacts=contacts.lazy()
    )


def admit(
    tables: AdmissionTables,
    members: pl.Series,
    *,
    channel: str,
    at: datetime,
    caps: FrequencyCap | None,
) -> Admission:
    """Return who of some users may be written to.

    Args:
        tables: The newest state; with several records of a user, all of them have to agree.
        members: Ids of users; repeated ones count once.
        channel: Which; the very name that a person's consents must hold.
        at: When the message goes out. Suppressions whose `until` is not after it are over.
        caps: Contacts in the channel after `at` less the cap's days count, later ones than `at`
            too; None where there is no cap.

    Raises:
        ValueError: The channel is empty, or an id is null.
    """
    ruled = rules_of(tables, members, channel=channel, at=at, caps=caps)
    counts = dict(ruled[_RULE].drop_nulls().value_counts().iter_rows())
    return Admission(
        ruled.filter(pl.col(_RULE).is_null())["user_id"].sort(),
        {rule: counts.get(rule, 0) for rule in RULES},
    )


def rules_of(
    tables: AdmissionTables,
    members: pl.Series,
    *,
    channel: str,
    at: datetime,
    caps: FrequencyCap | None,
) -> pl.DataFrame:
    """Return `user_id, rule` of each user: the first rule that drops them, null of who is admitted.

    See `admit` for the arguments and errors.
    """
    if not channel.strip():
        raise ValueError("the channel is empty: whoever agreed to nothing would be asked for")
    if members.null_count():
        raise ValueError(f"{members.null_count():,} ids of members are null")
    asked = members.cast(pl.String).rename("user_id").unique().to_frame().lazy()
    agreed = pl.col("consents").list.contains(channel)
    users = (
        tables.users.select("user_id", agreed=agreed)
        .join(asked, on="user_id", how="semi")
        .group_by("user_id")
        .agg(
            _told=pl.col("agreed").is_not_null().any(),
            _agreed=pl.col("agreed").fill_null(value=False).all(),
        )
    )
    suppressed = (
        tables.suppressions.filter(
            (pl.col("channel").is_null() | _names(channel))
            & (pl.col("until").is_null() | (pl.col("until") > at))
        )
        .select("user_id", _suppressed=pl.lit(True))
        .unique()
    )
    joined = asked.join(users, on="user_id", how="left").join(suppressed, on="user_id", how="left")
    is_capped = pl.lit(False)
    if caps is not None:
        recent = (
            tables.contacts.filter(
                _names(channel) & (pl.col("contacted_at") > at - timedelta(days=caps.days))
            )
            .group_by("user_id")
            .agg(_contacts=pl.len())
        )
        joined = joined.join(recent, on="user_id", how="left")
        is_capped = pl.col("_contacts").fill_null(0) >= caps.max_contacts
    rule = (
        pl.when(~pl.col("_told").fill_null(value=False))
        .then(pl.lit(NO_RECORD))
        .when(~pl.col("_agreed"))
        .then(pl.lit(NO_CONSENT))
        .when(pl.col("_suppressed").fill_null(value=False))
        .then(pl.lit(SUPPRESSED))
        .when(is_capped)
        .then(pl.lit(CAPPED))
    )
    ruled = joined.select("user_id", rule.alias(_RULE)).collect(engine="streaming")
    return _without_erased(ruled, tables.tombstones)


def _names(channel: str) -> pl.Expr:
    return pl.col("channel").str.strip_chars().str.to_lowercase() == channel.strip().lower()


def _without_erased(ruled: pl.DataFrame, tombstones: Tombstones) -> pl.DataFrame:
    """Rule out erased users who are admitted so far; hashing everybody's id would take long."""
    if not tombstones.keys:
        return ruled
    admitted = ruled.filter(pl.col(_RULE).is_null())
    erased = admitted.filter(tombstones.marked(admitted))["user_id"]
    is_erased = pl.col("user_id").is_in(erased.implode())
    return ruled.with_columns(
        pl.when(is_erased).then(pl.lit(ERASED)).otherwise(pl.col(_RULE)).alias(_RULE)
    )
