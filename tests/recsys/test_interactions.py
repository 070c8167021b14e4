from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_shop import random_interactions

from recsys.history_weights import HistoryWeights, normalised
from recsys.interactions import Histories, IdMap, Interactions, concat_ranges

IDS = st.text(alphabet="abé中0 ", max_size=3)
LENGTHS = st.lists(st.integers(0, 6), min_size=1, max_size=6)


def ragged(lengths: list[int], num_items: int = 5) -> Histories:
    total = sum(lengths)
    return Histories(
        indptr=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        item_idx=(np.arange(total) * 7 % num_items).astype(np.int32),
        event_time=np.arange(total, dtype=np.int64),
        sentiment=np.linspace(-1, 1, total, dtype=np.float32),
    )


@given(st.lists(IDS, max_size=8), st.lists(st.one_of(st.none(), IDS), max_size=8))
def test_an_index_is_the_place_among_the_sorted_ids(known: list[str], asked: list[str]) -> None:
    ids = IdMap.of(known)
    ordered = sorted(set(known))
    assert ids.ids.tolist() == ordered
    assert len(ids) == len(ordered)
    found = ids.index(asked)
    assert found.dtype == np.int64
    assert found.tolist() == [ordered.index(a) if a in ordered else -1 for a in asked]


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 5)), max_size=8))
def test_concat_ranges_against_a_loop(ranges: list[tuple[int, int]]) -> None:
    starts = np.array([start for start, _ in ranges], dtype=np.int64)
    ends = np.array([start + length for start, length in ranges], dtype=np.int64)
    wanted = [value for start, length in ranges for value in range(start, start + length)]
    assert concat_ranges(starts, ends).tolist() == wanted


@given(LENGTHS)
def test_steps_back_and_rows_against_a_loop(lengths: list[int]) -> None:
    histories = ragged(lengths)
    assert len(histories) == len(lengths)
    assert histories.lengths.tolist() == lengths
    assert histories.row.tolist() == [b for b, n in enumerate(lengths) for _ in range(n)]
    assert histories.steps_back.tolist() == [n - 1 - r for n in lengths for r in range(n)]


@given(LENGTHS, st.integers(0, 8))
def test_last_against_a_loop(lengths: list[int], num: int) -> None:
    histories = ragged(lengths)
    last = histories.last(num)
    for b in range(len(lengths)):
        rows = range(histories.indptr[b], histories.indptr[b + 1])[max(0, lengths[b] - num) :]
        start, end = last.indptr[b], last.indptr[b + 1]
        assert last.event_time[start:end].tolist() == list(rows)
        assert last.item_idx[start:end].tolist() == histories.item_idx[list(rows)].tolist()
        assert last.sentiment[start:end].tolist() == histories.sentiment[list(rows)].tolist()


@given(LENGTHS)
def test_matrix_adds_repeats_up(lengths: list[int]) -> None:
    histories = ragged(lengths, num_items=3)
    weights = np.arange(1, sum(lengths) + 1, dtype=np.float32)
    dense = np.zeros((len(lengths), 3), dtype=np.float32)
    for row, item, weight in zip(histories.row, histories.item_idx, weights, strict=True):
        dense[row, item] += weight
    np.testing.assert_array_equal(histories.matrix(weights, 3).toarray(), dense)


def test_histories_of_strangers_are_empty() -> None:
    nobody = Histories.empty(3)
    assert len(nobody) == 3
    assert nobody.lengths.tolist() == [0, 0, 0]
    assert nobody.last(2).lengths.tolist() == [0, 0, 0]
    assert nobody.matrix(np.zeros(0, np.float32), 4).toarray().tolist() == [[0.0] * 4] * 3


def test_from_frame_keeps_first_purchases_in_order_and_leaves_strangers_out() -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    rows = [
        ("u1", "b", 1, 5, None, None),
        ("u0", "a", 2, 1, 0.5, 4.0),
        ("u0", "b", 2, 0, -0.5, 2.0),
        ("u0", "a", 9, 0, -1.0, 1.0),
        ("nobody", "a", 0, 0, None, None),
        ("u0", "nothing", 0, 0, None, None),
    ]
    frame = pl.DataFrame(
        [(u, i, start + timedelta(days=d), s, p, r) for u, i, d, s, p, r in rows],
        schema=["user_id", "item_id", "event_time", "seq", "polarity", "stars"],
        orient="row",
    )
    found = Interactions.from_frame(
        frame, users=IdMap.of(["u0", "u1", "u2"]), items=IdMap.of(["a", "b"])
    )
    assert found.user_idx.tolist() == [0, 0, 1]
    assert found.item_idx.tolist() == [1, 0, 1]
    assert found.sentiment.tolist() == pytest.approx([-0.5, 0.5, np.nan], nan_ok=True)
    assert found.stars.tolist() == pytest.approx([2.0, 4.0, np.nan], nan_ok=True)
    micros = int(start.timestamp()) * 1_000_000
    assert found.event_time.tolist() == [micros + d * 86_400_000_000 for d in (2, 2, 1)]
    assert found.indptr.tolist() == [0, 2, 3, 3]
    assert found.popularity().tolist() == [1, 2]


@given(st.integers(0, 50), st.lists(st.integers(0, 19), max_size=6))
def test_histories_of_any_users_in_any_order(seed: int, users: list[int]) -> None:
    interactions = random_interactions(seed)
    histories = interactions.histories(np.array(users, dtype=np.int64))
    for b, user in enumerate(users):
        start, end = histories.indptr[b], histories.indptr[b + 1]
        mine = interactions.user_idx == user
        assert histories.item_idx[start:end].tolist() == interactions.item_idx[mine].tolist()
        assert histories.event_time[start:end].tolist() == interactions.event_time[mine].tolist()


def test_keep_filters_every_column_and_no_index_space() -> None:
    interactions = random_interactions(3)
    mask = interactions.item_idx % 2 == 0
    kept = interactions.keep(mask)
    assert (kept.num_users, kept.num_items) == (20, 12)
    assert kept.item_idx.tolist() == interactions.item_idx[mask].tolist()
    assert kept.event_time.tolist() == interactions.event_time[mask].tolist()
    assert kept.indptr[-1] == len(kept) == mask.sum()


@given(LENGTHS, st.floats(0.1, 1.0), st.floats(0.0, 1.0))
def test_history_weights_against_a_loop(lengths: list[int], decay: float, strength: float) -> None:
    histories = ragged(lengths)
    histories.sentiment[::3] = np.nan
    config = HistoryWeights(decay=decay, sentiment_strength=strength)
    wanted = []
    for b, length in enumerate(lengths):
        for row in range(length):
            felt = float(histories.sentiment[histories.indptr[b] + row])
            moved = 1.0 if np.isnan(felt) else 1.0 + strength * felt
            wanted.append(decay ** (length - 1 - row) * moved)
    weights = config.of(histories)
    np.testing.assert_allclose(weights, wanted, rtol=1e-5, atol=1e-7)
    assert weights.dtype == np.float32
    totals = np.bincount(
        histories.row, normalised(config.of(histories), histories), minlength=len(lengths)
    )
    sums = np.bincount(histories.row, np.array(wanted), minlength=len(lengths))
    np.testing.assert_allclose(totals[sums > 1e-6], 1.0, rtol=1e-4)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"decay": 0.0}, "decay must be within"),
        ({"decay": 1.5}, "decay must be within"),
        ({"sentiment_strength": -0.1}, "sentiment_strength must be within"),
        ({"sentiment_strength": 1.1}, "sentiment_strength must be within"),
    ],
)
def test_weights_out_of_range_are_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HistoryWeights(**wrong)
