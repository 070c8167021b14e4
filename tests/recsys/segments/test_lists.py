"""What is done with lists of users: holdouts, overlaps, and what they must not tell."""

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.lots import share_of
from recsys.segments.disclosure import differencing_refusal, num_told, size_refusal
from recsys.segments.holdout import Holdout, exposures, held_out
from recsys.segments.overlap import kept, overlap

NOW = datetime(2026, 5, 1, tzinfo=UTC)
_IDS = st.sets(st.sampled_from([f"u{n}" for n in range(8)]))


def _series(users: set[str] | list[str]) -> pl.Series:
    return pl.Series("user_id", sorted(users), dtype=pl.String)


def test_a_holdout_is_the_same_whoever_else_is_there() -> None:
    users = _series([f"u{n}" for n in range(20_000)])
    holdout = Holdout(share=0.1, salt="spring:promoters")

    drawn = held_out(users, holdout)
    some = held_out(users[::7], holdout)

    assert some.to_list() == drawn[::7].to_list()
    # Of 20,000 users a tenth, give or take four standard deviations.
    assert abs(drawn.sum() - 2000) < 4 * (20_000 * 0.1 * 0.9) ** 0.5
    other = held_out(users, Holdout(share=0.1, salt="spring:others"))
    assert 100 < (drawn & other).sum() < 320
    assert drawn[0] == (share_of("spring:promoters", users[0]) < 0.1)
    assert not held_out(users, Holdout(share=0, salt="x")).any()


def test_a_wider_holdout_keeps_who_was_held_out() -> None:
    users = _series([f"u{n}" for n in range(1000)])
    narrow, wide = (held_out(users, Holdout(share=share, salt="s")) for share in (0.1, 0.3))

    assert (narrow & wide).sum() == narrow.sum()


@pytest.mark.parametrize(("share", "salt"), [(1.0, "s"), (-0.1, "s"), (0.1, "")])
def test_holdouts_that_are_none(share: float, salt: str) -> None:
    with pytest.raises(ValueError, match=r"holdout|held out"):
        Holdout(share=share, salt=salt)


def test_both_arms_of_a_holdout_are_a_log_of_exposures() -> None:
    log = exposures(_series(["a", "c"]), _series(["b"]), experiment="spring", at=NOW)

    assert log.to_dict(as_series=False) == {
        "user_id": ["a", "b", "c"],
        "experiment": ["spring"] * 3,
        "variant": ["treatment", "control", "treatment"],
        "event_time": [NOW] * 3,
    }


@given(members=st.dictionaries(st.sampled_from(["x", "y", "z"]), _IDS, min_size=1))
def test_overlaps_are_those_of_sets_and_each_user_is_kept_once(
    members: dict[str, set[str]],
) -> None:
    lists = {name: _series(users) for name, users in members.items()}

    found, keeps = overlap(lists), kept(lists)

    sets = list(members.values())
    assert found.counts_SS.tolist() == [[len(a & b) for b in sets] for a in sets]
    for row, a in enumerate(sets):
        for column, b in enumerate(sets):
            share = found.jaccard_SS[row, column]
            assert np.isnan(share) if not a | b else share == len(a & b) / len(a | b)
    assert found.kept_S.tolist() == [len(users) for users in keeps.values()]
    everybody = [user for users in keeps.values() for user in users]
    assert sorted(everybody) == sorted(set().union(*sets))
    assert found.num_users == len(everybody)


def test_more_segments_than_can_be_compared() -> None:
    with pytest.raises(ValueError, match="at most 60 segments"):
        overlap({str(n): _series([]) for n in range(61)})


def test_short_lists_are_refused() -> None:
    assert size_refusal(50) is None
    assert "49 users, fewer than 50" in str(size_refusal(49))
    assert size_refusal(3, least_size=3) is None


@given(current=_IDS, previous=_IDS, withdrawn=_IDS)
def test_who_is_told_apart_by_two_lists(
    current: set[str], previous: set[str], withdrawn: set[str]
) -> None:
    told = num_told(_series(current), _series(previous), _series(withdrawn))

    assert told == len(current - previous) + len(previous - current - withdrawn)


def test_small_changes_between_lists_are_refused() -> None:
    first = _series([f"u{n:03d}" for n in range(100)])
    ten_more = _series([f"u{n:03d}" for n in range(110)])
    eleven_more = _series([f"u{n:03d}" for n in range(111)])

    assert differencing_refusal(first, {"1 May": first}) is None
    assert differencing_refusal(eleven_more, {"1 May": first}) is None
    refusal = differencing_refusal(ten_more, {"1 May": first, "2 May": eleven_more})
    assert "from that of 1 May by 10 users, fewer than 11" in str(refusal)
    # Of the earlier lists any may be the one that tells.
    assert "2 May by 1 users" in str(differencing_refusal(ten_more, {"2 May": eleven_more}))


def test_who_withdraws_is_taken_off_at_once() -> None:
    first = _series([f"u{n:03d}" for n in range(100)])

    assert differencing_refusal(first[1:], {"1 May": first}) is not None
    assert differencing_refusal(first[1:], {"1 May": first}, withdrawn=first[:1]) is None
