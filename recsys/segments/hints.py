"""Names that are near to what somebody wrote."""

from collections.abc import Sequence
from difflib import get_close_matches


def nearest(name: str, known: Sequence[str]) -> str:
    """Return `; did you mean NAME?` with the most similar known name, or nothing.

    >>> nearest("profil", ("profile", "events"))
    '; did you mean profile?'
    """
    found = get_close_matches(name.lower(), [str(one) for one in known], n=1, cutoff=0.6)
    return f"; did you mean {found[0]}?" if found else ""
