"""LightGBM without its scikit-learn interface, which nothing here uses.

The package imports scikit-learn where it is installed, which takes longer than all else that a
replica imports (1.4 of 2.6 s of CPU time), and lengthens every start.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def _hidden(package: str) -> Iterator[None]:
    """Let a package that was not imported yet seem not to be installed."""
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[package]


with _hidden("sklearn"):
    import lightgbm as lgb

__all__ = ["lgb"]
