"""Cells of CSV files that a spreadsheet does not take for formulas.

Source: OWASP, "CSV Injection". Full-width signs are among them since East Asian spreadsheets read
them as the plain ones.
"""

import polars as pl

_FORMULA = r"[=+\-@\t\r\n＝＋－＠]"


def escape_formulas(column: str) -> pl.Expr:
    """Put an apostrophe before cells that a spreadsheet would run.

    Cells that already look escaped get one more, so that `unescape_formulas` gives every text back.

    >>> cells = pl.DataFrame({"text": ["=1+1", "'=1+1", "'quoted'", "a-b"]})
    >>> cells.select(escape_formulas("text"))["text"].to_list()
    ["'=1+1", "''=1+1", "'quoted'", 'a-b']
    """
    return pl.col(column).str.replace(f"^('*{_FORMULA})", "'${1}")


def unescape_formulas(column: str) -> pl.Expr:
    """Take away the apostrophe that `escape_formulas` put there.

    A cell whose apostrophe a spreadsheet has removed stays as it is.

    >>> cells = pl.DataFrame({"text": ["'=1+1", "''=1+1", "=1", "'quoted'"]})
    >>> cells.select(unescape_formulas("text"))["text"].to_list()
    ['=1+1', "'=1+1", '=1', "'quoted'"]
    """
    return pl.col(column).str.replace(f"^'('*{_FORMULA})", "${1}")
