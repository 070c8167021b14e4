"""What all of a definition is made of: models that are closed, and values in words and in JSON."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from recsys.segments.hints import nearest

Days = Annotated[float, Field(gt=0, le=36_525, allow_inf_nan=False)]


def listed(value: Any) -> Any:
    """Take one text as a list of it."""
    return [value] if isinstance(value, str) else value


def zoned(value: Any) -> Any:
    """Take dates of TOML and YAML as their midnight, and times without a zone as UTC."""
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if isinstance(value, datetime):
        try:
            return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        except OverflowError as error:
            raise ValueError(f"{value} is no time of UTC") from error
    return value


def _moment(value: Any) -> Any:
    """Take texts as ISO 8601, too."""
    return zoned(datetime.fromisoformat(value) if isinstance(value, str) else value)


def one_of(known: tuple[str, ...]) -> Callable[[str], str]:
    """Return a check that a name is one of some, which tells what is near."""

    def check(name: str) -> str:
        if name not in known:
            told = ", ".join(known)
            raise ValueError(f"{name!r} is none of {told}{nearest(name, known)}")
        return name

    return check


Names = Annotated[list[str], BeforeValidator(listed), Field(min_length=1)]
Moment = Annotated[datetime, BeforeValidator(_moment)]


class Part(BaseModel):
    """Base of everything a definition is made of: frozen, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    def told(self) -> Any:
        """Return JSON types, equal for what means the same.

        Without what is as it is by default; names of which any will do sorted, each once; whole
        numbers as such, as RFC 8785 (JSON Canonicalization Scheme) writes them.
        """
        content = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        return {
            key: each_once(value) if key in _UNORDERED else plain(value)
            for key, value in content.items()
        }


_UNORDERED = ("events", "item", "brand", "category", "source", "channel", "segment")


def plain(value: Any) -> Any:
    """Return a whole number as such, and anything else as it is.

    >>> plain(90.0), plain(0.5), plain(True)
    (90, 0.5, True)
    """
    return int(value) if isinstance(value, float) and value.is_integer() else value


def each_once(told: list[Any]) -> list[Any]:
    """Return JSON types in an order of their own, each once."""
    by_text = {repr(one): one for one in told}
    return [by_text[text] for text in sorted(by_text)]


def joined(values: list[Any]) -> str:
    """Return plain values in words: `a` or `b`."""
    return " or ".join(map(shown, values))


def shown(value: Any) -> str:
    """Return a plain value in words."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 1_000_000 else str(value)
    if isinstance(value, float):
        return f"{value:g}" if abs(value) < 1e6 else f"{value:,.0f}"
    return value.isoformat() if isinstance(value, datetime) else repr(value)
