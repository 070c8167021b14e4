"""Examples of the two-tower and the batches they are served in.

Every row of a user but the first is an example: what was bought before it and browsed before its
session is the query, its item the positive. What is browsed in the session of a purchase would give
it away, and is not known when the session starts.

Candidates of a batch are its positives, items drawn uniformly, and items drawn from the categories
of its positives (hard negatives: what else could have been bought there). Each candidate comes with
the log of its chance to be one, by which its logit is corrected, so popular items are not punished
for being everybody's in-batch negative; hard ones count as if drawn independently of the positives.
Source: Yi et al. 2019, "Sampling-bias-corrected neural modeling"; Yang et al. 2020, "Mixed negative
sampling for learning two-tower neural networks".

Shape suffixes: B examples, C candidates, I items.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from recsys.interactions import Histories, Interactions
from recsys.recency import PopularityOverTime
from recsys.two_tower import history_tensors, to_kjt
from recsys.two_tower_config import TowerData, TrainingConfig
from recsys.two_tower_inputs import attended, item_bags, query_bags

_EVENTS_AN_ITEM = 8


def example_rows(interactions: Interactions) -> np.ndarray:
    """Return the rows that have at least one row of the same user before them, int64."""
    first = interactions.indptr[interactions.user_idx]
    return np.flatnonzero(np.arange(len(interactions)) > first)


def validation_rows(
    interactions: Interactions, seed: int, *, share: float = 0.2, most: int = 2000
) -> np.ndarray:
    """Return the last row of some users who have at least three, drawn at random, int64."""
    users = np.flatnonzero(np.diff(interactions.indptr) >= 3)
    num = min(most, int(np.ceil(share * len(users))))
    drawn = np.random.default_rng([seed, 5]).choice(users, num, replace=False)
    return np.sort(interactions.indptr[drawn + 1] - 1)


def histories_before(interactions: Interactions, rows: np.ndarray, max_history: int) -> Histories:
    """Return, for every row, the same user's rows before it (at most `max_history`)."""
    starts = np.maximum(interactions.indptr[interactions.user_idx[rows]], rows - max_history)
    return interactions.between(starts, rows)


def browsing_before(data: TowerData, rows: np.ndarray, max_history: int) -> Histories:
    """Return, for every purchase row, what its user browsed before the row's session.

    One row an item, the last `max_history` of them; at most `_EVENTS_AN_ITEM` times as many events
    are read.
    """
    users, times = data.interactions.user_idx[rows], data.interactions.session_start[rows]
    ends = data.browse_log.ends_before(users, times)
    starts = np.maximum(data.browse_log.indptr[users], ends - _EVENTS_AN_ITEM * max_history)
    return data.browse_log.between(starts, ends).merged().last(max_history)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One step's input: B queries and C candidates.

    Attributes:
        inputs: Arguments of `TwoTower.forward`.
        positive_B: Place of each example's positive among the candidates.
        log_chance_C: Log of each candidate's chance to be one.
        recent_BC: How popular each candidate was before the moment of each example.
    """

    inputs: tuple
    positive_B: Tensor
    log_chance_C: Tensor
    recent_BC: Tensor


@dataclass(frozen=True, kw_only=True)
class Examples:
    """The examples of one fit.

    Attributes:
        data: What is learned from.
        config: How.
        attends: Whether the model pools by attention.
        held_out: Rows that are not trained on, ascending, int64.
    """

    data: TowerData
    config: TrainingConfig
    attends: bool = False
    held_out: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @cached_property
    def rows(self) -> np.ndarray:
        """Rows that are trained on."""
        return np.setdiff1d(example_rows(self.data.interactions), self.held_out)

    def epoch(self, number: int, *, rank: int, world_size: int, device: str) -> Iterator[Batch]:
        """Yield this worker's share of one epoch; the order depends on seed and epoch only."""
        seed, size = self.config.seed, self.config.batch_size
        rows = np.random.default_rng([seed, number]).permutation(self.rows)
        rows = rows[rank : len(rows) // world_size * world_size : world_size]
        negatives = np.random.default_rng([seed, number, rank])
        for start in range(0, len(rows), size):
            yield self.batch(rows[start : start + size], negatives, device)

    def batch(self, rows: np.ndarray, rng: np.random.Generator, device: str) -> Batch:
        """Build one batch from the rows that are its positives."""
        num_items = self.data.interactions.num_items
        positives = self.data.interactions.item_idx[rows]
        num_uniform = min(self.config.num_uniform_negatives, num_items)
        drawn = [rng.choice(num_items, num_uniform, replace=False)]
        if self.config.num_hard_negatives:
            drawn.append(self._kin(positives, self.config.num_hard_negatives, rng))
        candidates, places = np.unique(np.concatenate([positives, *drawn]), return_inverse=True)
        missed = (1.0 - num_uniform / num_items) * (1.0 - self._share[candidates]) ** len(rows)
        if self.config.num_hard_negatives:
            missed *= (1.0 - self._kin_chance[candidates]) ** self.config.num_hard_negatives
        log_chance = np.log1p(-missed).astype(np.float32)
        times = self.data.interactions.event_time[rows]
        return Batch(
            inputs=self.inputs(rows, candidates, device),
            positive_B=torch.from_numpy(places[: len(rows)]).to(device),
            log_chance_C=torch.from_numpy(log_chance).to(device),
            recent_BC=torch.from_numpy(self.over_time.before(times, candidates)).to(device),
        )

    def inputs(self, rows: np.ndarray, items: np.ndarray, device: str) -> tuple:
        """Return what the model reads of the queries of rows and of items."""
        data, size = self.data, self.config.max_history
        history = histories_before(data.interactions, rows, size)
        browsed = browsing_before(data, rows, size)
        bought, looks = query_bags(history, browsed, data.weights, data.features)
        candidates = item_bags(items, data.features)
        alone = attended(history, data.weights) if self.attends else None
        return (
            to_kjt(
                (bought, looks, candidates),
                device,
                alone=None if alone is None else alone.item_idx,
            ),
            torch.from_numpy(bought.dense).to(device),
            torch.from_numpy(candidates.dense).to(device),
            torch.from_numpy(np.concatenate([bought.text, looks.text, candidates.text])).to(device),
            history_tensors(alone, device),
        )

    @cached_property
    def over_time(self) -> PopularityOverTime:
        """How popular items were at earlier moments."""
        return PopularityOverTime.of(self.data.interactions)

    @cached_property
    def _share(self) -> np.ndarray:
        """Share of each item in the positives, float64, shape (I,)."""
        positives = self.data.interactions.item_idx[self.rows]
        counts = np.bincount(positives, minlength=self.data.interactions.num_items)
        return counts / max(1, len(positives))

    @cached_property
    def _members(self) -> sp.csr_matrix:
        """Items of each category, each once."""
        features = self.data.features
        ones = np.ones(len(features.category_idx))
        shape = (len(features), features.num_categories)
        parts = (ones, features.category_idx, features.category_indptr)
        members = sp.csr_matrix(sp.csr_matrix(parts, shape=shape).T)
        members.sum_duplicates()
        members.data[:] = 1.0
        return members

    @cached_property
    def _kin_chance(self) -> np.ndarray:
        """Chance of each item to be what `_kin` draws once, float64, shape (I,)."""
        of_items = sp.csr_matrix(self._members.T)
        num = np.diff(of_items.indptr)
        asked = of_items.T @ (self._share / np.maximum(num, 1))
        return of_items @ (asked / np.maximum(np.diff(self._members.indptr), 1))

    def _kin(self, positives: np.ndarray, num: int, rng: np.random.Generator) -> np.ndarray:
        """Draw items that share a category with a positive: one of them, then one of its kind."""
        of_items = sp.csr_matrix(self._members.T)
        chosen = rng.choice(positives, num)
        lengths = np.diff(of_items.indptr)[chosen]
        chosen, lengths = chosen[lengths > 0], lengths[lengths > 0]
        category = of_items.indices[of_items.indptr[chosen] + rng.integers(0, lengths)]
        sizes = np.diff(self._members.indptr)[category]
        return self._members.indices[self._members.indptr[category] + rng.integers(0, sizes)]
