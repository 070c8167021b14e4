"""Ids for rows that come without one: a hash of what the row says, the same in every copy of it."""

from hashlib import blake2b

import polars as pl

_ID_BYTES = 16


def stable_ids(frame: pl.DataFrame, kind: str, fields: list[pl.Expr]) -> pl.Series:
    """Hash fields of each row to an id that depends on nothing but their values.

    Args:
        frame: The rows.
        kind: What is named, such as `review`; rows of another kind never share an id.
        fields: Expressions over `frame`; null and the empty text differ.

    Returns:
        32 lower-case hexadecimal digits a row (BLAKE2b, 128 bits), named `id`.
    """
    parts = [field.cast(pl.String).fill_null("\x00") for field in fields]
    joined = frame.select(id=pl.concat_str([pl.lit(kind), *parts], separator="\x1f"))["id"]
    digests = [blake2b(text.encode(), digest_size=_ID_BYTES).hexdigest() for text in joined]
    return pl.Series("id", digests, dtype=pl.String)


def canonical_number(raw: pl.Expr) -> pl.Expr:
    """Write equal numbers the same way (`5`, `5.0`), so that an id ignores how they were written.

    Args:
        raw: A String expression.

    Returns:
        The number as text; what is no number stays as it is.
    """
    return pl.coalesce(raw.cast(pl.Float64, strict=False).cast(pl.String), raw)
