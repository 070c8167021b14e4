"""Several questions at once: p-values that count how many were asked."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from statsmodels.stats.multitest import multipletests

Method = Literal["none", "holm", "benjamini-hochberg"]
_NAMES = {"holm": "holm", "benjamini-hochberg": "fdr_bh"}


def adjusted(p_values: Sequence[float], method: Method) -> list[float]:
    """Return adjusted p-values, to be compared with alpha.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure" (the chance of any
    false claim); Benjamini and Hochberg 1995, "Controlling the false discovery rate" (the share of
    false claims).

    >>> adjusted([0.01, 0.04, 0.03], "holm")
    [0.03, 0.06, 0.06]

    Args:
        p_values: In [0, 1], in any order.
        method: `none` returns them as they are.
    """
    if method == "none" or not len(p_values):
        return list(p_values)
    found = np.asarray(multipletests(list(p_values), method=_NAMES[method])[1])
    return [float(p) for p in found]
