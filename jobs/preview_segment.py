"""What a segment would reach, and what its users are like."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from jobs.segment_members import Selection
from recsys.errors import SegmentError
from recsys.segments.admission import Admission, AdmissionTables, admit, narrowed
from recsys.segments.holdout import held_out
from recsys.segments.profiling import Spread, features_and_everybody, spreads
from recsys.segments.section import SegmentsSection

_SHOWN = (
    "num_purchases",
    "spend_cents",
    "days_since_purchase",
    "polarity_mean",
    "churn_probability",
)
_NAME_BYTES = 6


@dataclass(frozen=True, kw_only=True)
class Gates:
    """What is left of a segment in one channel.

    Attributes:
        dropped: By rule of `recsys.segments.admission.RULES`, in their order.
        held_out: Of those who may be written to.
        left: Who would be.
    """

    dropped: dict[str, int]
    held_out: int
    left: int


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What a segment is.

    Attributes:
        as_of: Nothing at or after it was read.
        matched: Users.
        everybody: Users with a profile; without profiles, users of any table.
        channels: Gates by channel.
        of_members: Spread of key features over members; of nobody where few match ...
        of_everybody: ... and over all profiles.
        sample: Some who may be written to, under made-up names, with what is known of them.
        notes: What could not be told, and why.
    """

    as_of: datetime
    matched: int
    everybody: int
    channels: dict[str, Gates]
    of_members: dict[str, Spread]
    of_everybody: dict[str, Spread]
    sample: list[dict[str, Any]]
    notes: list[str]


def preview_segment(
    selection: Selection,
    admission: AdmissionTables,
    section: SegmentsSection,
    *,
    channel: str | None,
    sample: int,
    key: bytes,
) -> Preview:
    """Preview a segment.

    Where fewer than `[segments] min_size` users match, nothing is told of what they are like.

    Args:
        selection: Who is in it.
        admission: Who may be written to.
        section: Caps and holdouts.
        channel: Which; None for all that members agreed to.
        sample: Users to show.
        key: 16 to 64 bytes that are kept from readers, such as random ones: who is shown, and under
            which names.
    """
    tables, users = selection.tables, selection.user_ids()
    # Read once for all channels.
    admission = narrowed(admission, users)
    channels = [channel] if channel is not None else _agreed(admission)
    known = tables.frames.get("user_profiles", tables.everybody())
    everybody = known.select(pl.len()).collect(engine="streaming").item()
    allowed = {name: admitted(selection, admission, section, users, name) for name in channels}
    of_members, of_everybody, shown, notes = {}, {}, [], []
    try:
        features, of_everybody = features_and_everybody(tables, users)
        if len(users) < section.min_size:
            notes.append(_too_few(len(users), "match", section))
        else:
            of_members = spreads(features)
            features = _of_any(features, allowed)
            if sample and len(features) < section.min_size:
                notes.append(_too_few(len(features), "may be written to", section))
            else:
                shown = _sample(features, key, sample)
    except SegmentError as error:
        # Profiles of a later moment would tell what was not known then.
        notes.append(str(error))
    return Preview(
        as_of=selection.as_of,
        matched=len(users),
        everybody=everybody,
        channels={name: _gates(found, selection, section) for name, found in allowed.items()},
        of_members=of_members,
        of_everybody=of_everybody,
        sample=shown,
        notes=notes,
    )


def admitted(
    selection: Selection,
    admission: AdmissionTables,
    section: SegmentsSection,
    users: pl.Series,
    channel: str,
) -> Admission:
    """Return who of a segment's users may be written to, as the configuration caps them."""
    return admit(admission, users, channel=channel, at=selection.as_of, caps=section.cap(channel))


def _agreed(admission: AdmissionTables) -> list[str]:
    said = pl.col("consents").explode(keep_nulls=False, empty_as_null=False)
    found = admission.users.select(said).unique().collect()
    return sorted(name for name in found["consents"].drop_nulls() if name.strip())


def _gates(found: Admission, selection: Selection, section: SegmentsSection) -> Gates:
    out = int(held_out(found.user_ids, section.held_out(selection.definition.name)).sum())
    return Gates(dropped=found.dropped, held_out=out, left=len(found.user_ids) - out)


def _too_few(num: int, what: str, section: SegmentsSection) -> str:
    return (
        f"{num:,} users {what}, fewer than {section.min_size:,} ([segments] min_size): what single "
        "ones are like is not shown"
    )


def _of_any(features: pl.DataFrame, allowed: Mapping[str, Admission]) -> pl.DataFrame:
    """Return the features of users who may be written to in any channel."""
    ids = [found.user_ids.to_frame("user_id") for found in allowed.values()]
    if not ids:
        return features.clear()
    return features.join(pl.concat(ids), on="user_id", how="semi", maintain_order="left")


def _sample(features: pl.DataFrame, key: bytes, size: int) -> list[dict[str, Any]]:
    """Return some users, by a key, under names that tell their ids to nobody without it."""
    seed = int.from_bytes(hashlib.blake2b(key, digest_size=8).digest())
    picked = features.sample(min(size, len(features)), seed=seed)
    shown = [name for name in _SHOWN if name in features.columns]
    named = []
    for row in picked.select("user_id", *shown).to_dicts():
        digest = hashlib.blake2b(row.pop("user_id").encode(), key=key, digest_size=_NAME_BYTES)
        named.append({"user": digest.hexdigest(), **row})
    return sorted(named, key=lambda row: row["user"])
