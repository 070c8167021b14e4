"""Policies that fill lists place by place: by luck, or by scores of what could have been shown.

Shape suffixes: N rows, n rows of a part, A actions, C candidates.
"""

import numpy as np
import polars as pl
import scipy.sparse as sp

from recsys.errors import PolicyError
from recsys.off_policy.log import Log
from recsys.off_policy.policies import TargetPolicy


def uniform_policy(log: Log) -> TargetPolicy:
    """Return the policy that shows each item with the same chance.

    The items are the distinct items of the log; where the log says what could have been shown in a
    list, they are these, without those that stand above in the same list.
    """
    if log.candidate_indptr is None or log.candidate_id is None:
        share = 1.0 / log.num_actions
        return TargetPolicy(
            name="uniform",
            logged=np.full(len(log), share),
            unlogged=np.zeros(len(log)),
            total=np.ones(len(log)),
            actions_of=lambda rows: np.full((len(rows), log.num_actions), share),
        )
    return _of_lists("uniform", log, log.candidate_indptr, log.candidate_id, None, 0.0, 1.0)


def ranking_policy(
    log: Log,
    scores: pl.DataFrame,
    *,
    name: str,
    temperature: float = 0.0,
    epsilon: float = 0.0,
) -> TargetPolicy:
    """Return the policy that orders what could have been shown in each list by scores.

    At a temperature of 0 the next place goes to the best that does not stand above it (ties: the
    first id); at others to each with a chance of exp(score / temperature), over those left: lists
    are drawn by the model of Plackett 1975 and Luce 1959.

    Args:
        log: Its lists have names.
        scores: `list_id, item_id, score`, finite, once each; what has none is never shown, and in
            a list without any the policy shows nothing, which the mean weight tells.
        name: What to call it.
        temperature: At least 0, in the unit of the scores.
        epsilon: Chance with which a place is filled by luck instead, all that are left alike.

    Raises:
        PolicyError: If no list has scores, a score is given twice or is not finite, the temperature
            is below 0 or epsilon outside [0, 1].
    """
    if not 0 <= epsilon <= 1:
        raise PolicyError(f"epsilon is {epsilon}, wanted 0 to 1")
    if not temperature >= 0:
        raise PolicyError(f"the temperature is {temperature}, wanted 0 or more")
    key = ["list_id", "item_id"]
    if scores.select(key).is_duplicated().any():
        raise PolicyError(f"{name} scores an item twice in one list: give each score once")
    if not scores["score"].is_finite().all():
        raise PolicyError(
            f"{name} has scores that are missing or not finite: leave those items out"
        )
    lists = pl.DataFrame(
        {"list_id": log.list_ids.astype(str), "slate": np.arange(len(log.list_ids))}
    )
    known = scores.join(lists, on="list_id").sort("slate", "item_id")
    counts = np.bincount(known["slate"].to_numpy(), minlength=len(lists))
    if not counts.any():
        raise PolicyError(
            f"{name} says nothing of any of {len(lists):,} lists, such as {log.list_ids[0]!r}: "
            "scores must carry the list_id of the log"
        )
    indptr = np.concatenate([[0], np.cumsum(counts)])
    score = known["score"].to_numpy().astype(np.float64)
    return _of_lists(name, log, indptr, known["item_id"].to_numpy(), score, temperature, epsilon)


def _of_lists(
    name: str,
    log: Log,
    indptr: np.ndarray,
    items: np.ndarray,
    score: np.ndarray | None,
    temperature: float,
    epsilon: float,
) -> TargetPolicy:
    """Return chances of each place given what stands above it, out of the candidates of lists.

    Without scores all that are left have the same chance.
    """
    place = np.minimum(np.searchsorted(log.actions, items), log.num_actions - 1)
    action_of = np.where(log.actions[place] == items, place, -1)
    order = np.lexsort((log.position, log.slate))
    logged, unlogged = np.zeros(len(log)), np.zeros(len(log))
    columns: list[np.ndarray] = [np.zeros(0, dtype=np.int64)] * len(log)
    chances: list[np.ndarray] = [np.zeros(0)] * len(log)
    left, current = np.zeros(0, dtype=bool), -1
    for row in order.tolist():
        slate = int(log.slate[row])
        part = slice(indptr[slate], indptr[slate + 1])
        if slate != current:
            left, current = np.ones(part.stop - part.start, dtype=bool), slate
        chance = next_place(None if score is None else score[part], left, temperature, epsilon)
        of_items = action_of[part]
        is_known = (of_items >= 0) & (chance > 0)
        columns[row], chances[row] = of_items[is_known], chance[is_known]
        shown = of_items == log.action[row]
        logged[row] = chance[shown].sum()
        unlogged[row] = chance[of_items < 0].sum()
        left = left & ~shown
    starts = np.concatenate([[0], np.cumsum([len(found) for found in columns])])
    table = sp.csr_matrix(
        (np.concatenate(chances), np.concatenate(columns), starts),
        shape=(len(log), log.num_actions),
    )
    return TargetPolicy(
        name=name,
        logged=logged,
        unlogged=unlogged,
        total=np.asarray(table.sum(1)).ravel(),
        actions_of=lambda rows: table[rows].toarray(),
    )


def next_place(
    score: np.ndarray | None, left: np.ndarray, temperature: float, epsilon: float
) -> np.ndarray:
    """Return the chance of each candidate to come next, all 0 where none is left, shape (C,).

    Args:
        score: Of the candidates, shape (C,); None where luck alone decides.
        left: Which of them do not stand above, bool, shape (C,).
        temperature: Of the scores; 0 takes the best, ties the first.
        epsilon: Chance of luck.

    >>> next_place(np.array([1.0, 3.0]), np.array([True, True]), 0.0, 0.5).tolist()
    [0.25, 0.75]
    """
    chance = np.zeros(len(left))
    if not left.any():
        return chance
    chance[left] = epsilon / left.sum()
    if score is None or epsilon == 1:
        chance[left] = 1.0 / left.sum()
    elif temperature == 0:
        chance[np.where(left, score, -np.inf).argmax()] += 1.0 - epsilon
    else:
        weight = np.exp((score[left] - score[left].max()) / temperature)
        chance[left] += (1.0 - epsilon) * weight / weight.sum()
    return chance
