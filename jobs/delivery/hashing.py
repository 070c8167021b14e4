"""Addresses as advertising platforms take them: normalised, then hashed by SHA-256.

Sources: Google Ads help, "Format your customer data file" (Customer Match); Meta Marketing API,
"Custom Audiences: hashing and normalization". What is empty or no address is never hashed: a hash
of nothing would match everybody else's.
"""

import hashlib

import polars as pl

_EMAIL = r"^[^@\s<>:,;()\"]+@[^@\s<>:,;()\"]+\.[^@\s<>:,;()\"]+$"
_PHONE = r"^(\+|00)[0-9 .()\-]+$"
_TRUNK = "(0)"
_NO_DIGIT = r"[^0-9]"
_E164 = r"^[1-9][0-9]{7,14}$"
_COUNTRY = r"^[A-Z]{2}$"


def sha256_hex(values: pl.Series) -> pl.Series:
    """Return the SHA-256 of texts in lower-case hexadecimal; null stays null.

    >>> sha256_hex(pl.Series(["john_smith@gmail.com", None])).to_list()[0][:8]
    '62a14e44'
    """
    hashes = [
        None if value is None else hashlib.sha256(value.encode()).hexdigest() for value in values
    ]
    return pl.Series(values.name, hashes, dtype=pl.String)


def normal_email(column: str) -> pl.Expr:
    """Trim and lower-case an e-mail address; null where it is none.

    >>> emails = pl.DataFrame({"email": [" John_Smith@Gmail.com ", "", "nobody"]})
    >>> emails.select(normal_email("email"))["email"].to_list()
    ['john_smith@gmail.com', None, None]
    """
    text = pl.col(column).str.strip_chars().str.to_lowercase()
    return pl.when(text.str.contains(_EMAIL)).then(text).alias(column)


def phone_digits(column: str) -> pl.Expr:
    """Return the digits of an international number, without `+`, as Meta wants them.

    Only numbers that begin with `+` or `00` are ones: whose country it is would else be a guess.
    Null where it is none, or not of 8 to 15 digits (ITU-T E.164).

    >>> phones = pl.DataFrame({"phone": ["+1 (650) 555-1212", "0049 30 1234567", "+49 (0)30 12"]})
    >>> phones.select(phone_digits("phone"))["phone"].to_list()
    ['16505551212', '49301234567', None]
    """
    text = pl.col(column).str.strip_chars()
    # With extensions, second numbers or a trunk zero, digits alone would be another's number.
    is_one = text.str.contains(_PHONE) & ~text.str.contains(_TRUNK, literal=True)
    digits = text.str.replace_all(_NO_DIGIT, "").str.replace("^00", "")
    international = pl.when(is_one).then(digits)
    return pl.when(international.str.contains(_E164)).then(international).alias(column)


def country_code(column: str) -> pl.Expr:
    """Return an ISO 3166 alpha-2 code in upper case; null where it is none.

    >>> countries = pl.DataFrame({"country": ["de ", "Germany", None]})
    >>> countries.select(country_code("country"))["country"].to_list()
    ['DE', None, None]
    """
    text = pl.col(column).str.strip_chars().str.to_uppercase()
    return pl.when(text.str.contains(_COUNTRY)).then(text).alias(column)
