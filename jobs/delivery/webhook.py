"""Lists as signed messages, some hundred people each; see `jobs.signed_webhook`."""

import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import polars as pl

from jobs.delivery.delivery import Delivery, OnStage, Receipt
from jobs.delivery.rows import ID, USER, ProfileRows
from jobs.errors import BadInputError
from jobs.signed_webhook import AllowList, Retries, bare, post_signed, signing_key


@dataclass(frozen=True, kw_only=True)
class WebhookDestination:
    """A receiver of messages.

    Each message tells which delivery it is of, its own number and how many there are, so that a
    receiver can apply them together once all are there; its id is the same whenever it is sent. In
    the order of messages, who is removed comes before who is added.

    Attributes:
        url: Where to.
        secret_variable: Environment variable with the secret.
        allow: Where messages may go.
        rows: What they tell.
        batch_size: People a message, at most.
        retries: How often a message is sent again.
    """

    url: str
    secret_variable: str
    allow: AllowList
    rows: ProfileRows
    batch_size: int = 500
    retries: Retries = field(default_factory=Retries)

    def check(self) -> None:
        """See `Destination`: the address is allowed, and there is a secret."""
        self.allow.check(self.url)
        signing_key(self._secret())

    def has(self, key: str, segment: str) -> bool | None:
        """See `Destination`: messages are not asked for again."""
        return None

    def deliver(self, delivery: Delivery, on_stage: OnStage) -> Receipt:
        """See `Destination`."""
        secret = self._secret()
        messages = list(self._spans(delivery))
        for number, (removed, added) in enumerate(messages, start=1):
            on_stage(f"message {number} of {len(messages)}")
            content = {
                "type": f"segment.{'replaced' if delivery.operation == 'replace' else 'updated'}",
                **delivery.facts(),
                "message": number,
                "messages": len(messages),
                "remove": removed[ID].to_list(),
                "add": [_plain(row) for row in added.select(self.rows.told).to_dicts()],
            }
            post_signed(
                self.url,
                json.dumps(content, ensure_ascii=False, allow_nan=False).encode(),
                secret,
                idempotency_key=f"{delivery.key}-{number}",
                allow=self.allow,
                retries=self.retries,
            )
        return Receipt(place=bare(self.url), details={"messages": len(messages)})

    def _secret(self) -> str:
        secret = os.environ.get(self.secret_variable)
        if not secret:
            raise BadInputError(f"the secret of the webhook is not set: {self.secret_variable}")
        return secret

    def _spans(self, delivery: Delivery) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
        """Yield who is removed and added by each message; of an empty list there is one, too."""
        nobody_removed, nobody_added = delivery.removed.clear(), delivery.added.clear()
        is_told = False
        for rows in delivery.removed.iter_slices(self.batch_size):
            if len(rows):
                yield rows, nobody_added
                is_told = True
        for rows in delivery.added.iter_slices(self.batch_size):
            if len(rows):
                yield nobody_removed, rows
                is_told = True
        if not is_told:
            yield nobody_removed, nobody_added


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as JSON has it, under the names that receivers know; NaN and inf are null."""
    plain = {}
    for name, value in row.items():
        if isinstance(value, date | datetime):
            value = value.isoformat()
        elif isinstance(value, float) and not math.isfinite(value):
            value = None
        plain[USER if name == ID else name] = value
    return plain
