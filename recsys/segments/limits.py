"""How large a definition may get, however it is written."""

MOST_DEEP = 50
MOST_CONDITIONS = 1000


class Limits:
    """How much a definition may ask: one count over all that it extends and refers to.

    Args:
        depth: How many conditions and segments hold what is parsed.
        count: Of the conditions so far; shared by what is deeper.
    """

    def __init__(self, depth: int = 0, count: list[int] | None = None) -> None:
        self._depth = depth
        self._count = [0] if count is None else count

    def deeper(self, levels: int = 1) -> "Limits":
        """Return the limits of what is held by what is parsed."""
        return Limits(self._depth + levels, self._count)

    def are_passed(self, depth: int) -> bool:
        """Count one more condition, so deep, and tell whether that is too much."""
        self._count[0] += 1
        return self._depth + depth > MOST_DEEP or self._count[0] > MOST_CONDITIONS
