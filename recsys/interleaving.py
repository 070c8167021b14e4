"""Interleaving: two rankings in one list, and which of them users click more.

Team draft: as when captains choose teams. In each round a coin says which ranking picks first;
each adds its best item that is not in the list yet, and a click counts for the one whose pick it
was. Every user sees both rankings at once, so that users' differences cancel out, and far fewer
impressions are needed than for two groups.
Source: Radlinski, Kurup and Joachims 2008, "How does clickthrough data reflect retrieval quality?";
analysis: Chapelle et al. 2012, "Large-scale validation and analysis of interleaved search
evaluation".

Shape suffixes: L lists, K places, M length of a ranking, N rows, U users.
"""

from dataclasses import dataclass

import numpy as np
import scipy.stats

A, B, NEITHER = 0, 1, -1


@dataclass(frozen=True, kw_only=True)
class Interleaved:
    """Lists of two rankings.

    Attributes:
        item: Items shown, -1 where both rankings ended, int64, shape (L, K).
        team: Whose pick each is: `A`, `B`, or `NEITHER` where nothing is shown or both rankings
            agree down to this place, so that it says nothing of either, int8, shape (L, K).
    """

    item: np.ndarray
    team: np.ndarray


def team_draft(
    ranked_a: np.ndarray, ranked_b: np.ndarray, k: int, coins: np.ndarray
) -> Interleaved:
    """Interleave two rankings of L lists.

    What both have alike from the top is shown first; the draft begins below it.

    Args:
        ranked_a: Distinct items best first, -1 for padding, shape (L, M).
        ranked_b: Likewise; of the same lists in the same order.
        k: Places wanted.
        coins: One a list and round: True where A picks first, bool, shape (L, (k + 1) // 2) at
            least.

    Raises:
        ValueError: If there is no place to fill, or shapes do not fit.

    >>> coins = np.array([[True, True]])
    >>> found = team_draft(np.array([[1, 2, 3]]), np.array([[1, 3, 2]]), 3, coins)
    >>> found.item.tolist(), found.team.tolist()
    ([[1, 2, 3]], [[-1, 0, 1]])
    """
    num_lists = len(ranked_a)
    if k < 1 or ranked_a.ndim != 2 or ranked_b.ndim != 2 or len(ranked_b) != num_lists:
        raise ValueError(
            f"{k} places from rankings of shape {ranked_a.shape} and {ranked_b.shape}: wanted at "
            "least one place, and one row a list in both"
        )
    if coins.shape[0] != num_lists or coins.shape[1] < (k + 1) // 2:
        raise ValueError(f"coins have shape {coins.shape}, wanted {(num_lists, (k + 1) // 2)}")
    rankings = (ranked_a, ranked_b)
    item = np.full((num_lists, k), -1, dtype=np.int64)
    team = np.full((num_lists, k), NEITHER, dtype=np.int8)
    for row in range(num_lists):
        orders = [[int(i) for i in ranked[row] if i >= 0] for ranked in rankings]
        agreed = _agreed(orders[A], orders[B], k)
        item[row, :agreed] = orders[A][:agreed]
        shown = set(orders[A][:agreed])
        at, places, rounds = [agreed, agreed], agreed, 0
        while places < k:
            first = A if coins[row, rounds] else B
            before = places
            for side in (first, 1 - first):
                order = orders[side]
                while at[side] < len(order) and order[at[side]] in shown:
                    at[side] += 1
                if places == k or at[side] == len(order):
                    continue
                pick = order[at[side]]
                shown.add(pick)
                item[row, places], team[row, places] = pick, side
                places += 1
            # Where one has ended, a round fills one place only, and the coin decides nothing.
            rounds = min(rounds + 1, coins.shape[1] - 1)
            if places == before:
                break
    return Interleaved(item=item, team=team)


@dataclass(frozen=True, kw_only=True)
class Preference:
    """Which ranking users prefer.

    Attributes:
        num_lists: Lists with a click on a pick of either.
        wins_a: Lists with more credit for A.
        wins_b: For B.
        ties: As much for both.
        delta: (wins_b + ties / 2) / num_lists - 1 / 2: above 0 users prefer B, in [-0.5, 0.5].
        sign_p: Two-sided, of the binomial test that a list which is no tie is as often A's as B's;
            lists of one user count as one, by whom the user prefers.
        mean_difference: Mean over users of credit for B less credit for A, a list.
        low: Lower end of its 95% interval, t over users.
        high: Upper end.
        t_p: Two-sided, of the t test over users that it is 0; `sign_p` where all users are alike.
        num_users: Users with any list.
        users_a: Users who prefer A.
        users_b: Users who prefer B.
    """

    num_lists: int
    wins_a: int
    wins_b: int
    ties: int
    delta: float
    sign_p: float
    mean_difference: float
    low: float
    high: float
    t_p: float
    num_users: int
    users_a: int
    users_b: int


def preference(credit_a: np.ndarray, credit_b: np.ndarray, user: np.ndarray) -> Preference:
    """Analyse credit of lists; users are what is independent.

    Args:
        credit_a: Clicks, or whatever counts, on picks of A, shape (L,).
        credit_b: On picks of B, shape (L,).
        user: Whose each list is, any numbers, shape (L,).

    Raises:
        ValueError: If there is no list, or fewer than two users.
    """
    if not len(user) or credit_a.shape != credit_b.shape or credit_a.shape != user.shape:
        raise ValueError(
            f"credit {credit_a.shape}, {credit_b.shape} and users {user.shape}: wanted at least "
            "one list and the same of all"
        )
    place = np.unique(user, return_inverse=True)[1]
    num_lists_U = np.bincount(place)
    if len(num_lists_U) < 2:
        raise ValueError("all lists are of one user: a preference needs at least two")
    difference = credit_b - credit_a
    told = (credit_a != 0) | (credit_b != 0)
    wins_a, wins_b = int((difference < 0).sum()), int((difference > 0).sum())
    ties = int((told & (difference == 0)).sum())
    of_users = np.bincount(place, difference) / num_lists_U
    users_a, users_b = int((of_users < 0).sum()), int((of_users > 0).sum())
    error = float(scipy.stats.sem(of_users))
    mean, num = float(of_users.mean()), len(of_users)
    reach = float(scipy.stats.t.ppf(0.975, num - 1)) * error
    decided = users_a + users_b
    sign_p = float(scipy.stats.binomtest(users_b, decided).pvalue) if decided else 1.0
    # Users who are all alike have no spread to test by: how many there are must tell.
    t_p = sign_p if error == 0 else float(2 * scipy.stats.t.sf(abs(mean) / error, num - 1))
    num_told = int(told.sum())
    return Preference(
        num_lists=num_told,
        wins_a=wins_a,
        wins_b=wins_b,
        ties=ties,
        delta=(wins_b + ties / 2) / num_told - 0.5 if num_told else 0.0,
        sign_p=sign_p,
        mean_difference=mean,
        low=mean - reach,
        high=mean + reach,
        t_p=t_p,
        num_users=num,
        users_a=users_a,
        users_b=users_b,
    )


def credit(team: np.ndarray, gain: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what each list gained on picks of A and of B, both of shape (L,).

    Args:
        team: See `Interleaved`, shape (L, K).
        gain: Clicks or satisfaction at each place, shape (L, K).
    """
    return np.where(team == A, gain, 0.0).sum(1), np.where(team == B, gain, 0.0).sum(1)


def _agreed(order_a: list[int], order_b: list[int], k: int) -> int:
    """Return how many of the first k places both rankings fill alike."""
    same = 0
    for one, other in zip(order_a[:k], order_b[:k], strict=False):
        if one != other:
            break
        same += 1
    return same
