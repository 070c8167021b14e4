"""Tell others of changes of alerts: a file, a signed webhook, e-mail. Nothing is sent twice.

Each change and sink is one delivery, known by the alert's id and the number of the change. What
failed is kept and tried again by the next run; a run that dies between sending and noting it sends
the same key again, which receivers know.
"""

import json
import smtplib
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import polars as pl

from features.alert_tables import FAILED, SENT, AlertDeliveries
from features.store import Store
from jobs.alerts_section import AlertsSection, MailSection, WebhookSection
from jobs.alerts_tables import read_alerts, read_table
from jobs.errors import BadInputError, DeliveryError
from jobs.signed_webhook import AllowList, Retries, post_signed

LOCK = "alert_deliveries"
_TIMEOUT_S = 20.0
Message = dict[str, Any]
Send = Callable[[Message, str], None]


@dataclass(frozen=True, kw_only=True)
class Deliveries:
    """How many deliveries a run made, and what went wrong."""

    sent: int
    failed: int
    errors: list[str]


def sinks_of(section: AlertsSection) -> dict[str, Send]:
    """Return the sinks that a shop wants, by name."""
    sinks: dict[str, Send] = {}
    if section.file is not None:
        path = Path(section.file)
        sinks["file"] = lambda message, key: append_line(path, message, key)
    if section.webhook is not None:
        hook = section.webhook
        sinks["webhook"] = lambda message, key: post(hook, message, key)
    if section.mail is not None:
        mail = section.mail
        sinks["mail"] = lambda message, key: send_mail(mail, message, key)
    return sinks


def deliver(store: Store, sinks: Mapping[str, Send], *, with_quotes: bool) -> Deliveries:
    """Deliver what has not been delivered, in the order in which it changed.

    Args:
        store: Where alerts are kept.
        sinks: See `sinks_of`.
        with_quotes: Whether messages carry quotes.
    """
    with store.lock(LOCK):
        changes = read_table(store, "alert_changes").sort("day", "alert_id", "number")
        known = read_table(store, "alert_deliveries")
        sent = set(known.filter(status=SENT).select("alert_id", "number", "sink").iter_rows())
        tries = {row[:3]: row[4] for row in known.iter_rows()}
        alerts = read_alerts(store)
        quotes = read_table(store, "alert_quotes")
        num_sent, errors, down = 0, [], set[str]()
        for change in changes.iter_rows(named=True):
            if change["alert_id"] not in alerts:
                # A run was killed before it wrote the alert; a later one opened another.
                continue
            for name, send in sinks.items():
                place = (change["alert_id"], change["number"], name)
                if place in sent or name in down:
                    continue
                message = message_of(
                    alerts[change["alert_id"]], change, quotes if with_quotes else None
                )
                error = _try(send, message, f"{change['alert_id']}-{change['number']}")
                _note(store, place, tries.get(place, 0) + 1, error)
                num_sent += error is None
                if error is not None:
                    errors.append(f"{name}: {error}")
                    down.add(name)
    return Deliveries(sent=num_sent, failed=len(errors), errors=sorted(set(errors)))


def message_of(
    alert: Mapping[str, Any], change: Mapping[str, Any], quotes: pl.DataFrame | None
) -> Message:
    """Return a change as JSON types: the alert as it is now, and its new state. No user ids."""
    told = {
        key: value.isoformat() if hasattr(value, "isoformat") else value
        for key, value in alert.items()
        if key not in ("looked_day", "recovered_looks", "changed_day", "changed_by", "num_changes")
    }
    own = [] if quotes is None else quotes.filter(alert_id=alert["alert_id"]).to_dicts()
    return {
        "type": f"alert.{change['state']}",
        "number": change["number"],
        "state": change["state"],
        "by": change["by"],
        "note": change["note"],
        "alert": told,
        "quotes": [{key: row[key] for key in ("review_id", "quote", "aspect")} for row in own],
    }


def append_line(path: Path, message: Message, key: str) -> None:
    """Add a message to a file of JSON lines, unless its key is there.

    Raises:
        DeliveryError: If the file cannot be read or written.
    """
    line = json.dumps({"key": key, **message}, ensure_ascii=False)
    try:
        with path.open("a+", encoding="utf-8") as file:
            file.seek(0)
            content = file.read()
            # A line that a kill cut off has no end: what follows begins a new one.
            if any(_key_of(known) == key for known in content.split("\n")):
                return
            file.write(("" if not content or content.endswith("\n") else "\n") + line + "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DeliveryError(f"cannot write {path}: {error}") from error


def post(section: WebhookSection, message: Message, key: str) -> None:
    """Send a message to the webhook.

    Raises:
        DeliveryError: If it was not taken.
        BadInputError: If the address is not allowed, or there is no secret.
    """
    if section.secret is None:
        raise BadInputError("the webhook of alerts has no secret: set SENTIREC_ALERTS_SECRET")
    post_signed(
        section.url,
        json.dumps(message, ensure_ascii=False).encode(),
        section.secret,
        idempotency_key=key,
        allow=AllowList(hosts=tuple(section.hosts), networks=tuple(section.networks)),
        # The next run tries again: a receiver that is down must not hold up this one.
        retries=Retries(attempts=2),
    )


def send_mail(section: MailSection, message: Message, key: str) -> None:
    """Send a message by e-mail, with a Message-ID of its key.

    Raises:
        DeliveryError: If the server did not take it.
    """
    alert = message["alert"]
    mail = EmailMessage()
    mail["From"], mail["To"] = section.sender, ", ".join(section.to)
    mail["Subject"] = (
        f"[{message['state']}] {alert['kind'].replace('_', ' ')}: {alert['scope']} "
        f"{_one_line(alert['key'])}"
    )
    mail["Message-ID"] = f"<{key}@{section.sender.rpartition('@')[2]}>"
    mail.set_content(mail_text(message))
    try:
        with smtplib.SMTP(section.host, section.port, timeout=_TIMEOUT_S) as server:
            if section.starttls:
                server.starttls(context=ssl.create_default_context())
            if section.user is not None:
                server.login(section.user, section.password or "")
            refused = server.send_message(mail)
    except (OSError, ValueError, smtplib.SMTPException) as error:
        raise DeliveryError(f"{section.host}:{section.port} did not take it: {error}") from error
    if refused:
        raise DeliveryError(
            f"{section.host}:{section.port} did not take it for {', '.join(refused)}"
        )


def mail_text(message: Message) -> str:
    """Return a message in words."""
    alert = message["alert"]
    of_what = "reviews" if alert["aspect"] is None else f"reviews complain of {alert['aspect']}"
    lines = [
        f"{alert['scope']} {alert['key']}: {alert['kind'].replace('_', ' ')}",
        f"since {alert['onset'][:10]} (between {alert['onset_low'][:10]} and "
        f"{alert['onset_high'][:10]})",
        f"{alert['num_negative']} of {alert['num_reviews']} {of_what} (negative), "
        f"{alert['share_before']:.0%} were to be expected",
        f"q {alert['q_value']:.2g}; {alert['num_buyers']:,} people bought since then",
        f"to do: {alert['action'].replace('_', ' ')}",
        f"state: {message['state']}" + (f" ({message['note']})" if message["note"] else ""),
        "",
        *(f'"{quote["quote"]}"' for quote in message["quotes"]),
    ]
    return "\n".join(lines) + "\n"


def _try(send: Send, message: Message, key: str) -> str | None:
    try:
        send(message, key)
    except (DeliveryError, BadInputError) as error:
        return str(error)
    return None


def _note(store: Store, place: tuple[str, int, str], attempts: int, error: str | None) -> None:
    row = {
        "alert_id": place[0],
        "number": place[1],
        "sink": place[2],
        "status": SENT if error is None else FAILED,
        "attempts": attempts,
        "error": error,
    }
    frame = pl.DataFrame([row], schema=AlertDeliveries.create_empty().schema)
    store.upsert("alert_deliveries", frame, ["alert_id", "number", "sink"])


def _key_of(line: str) -> str | None:
    try:
        return json.loads(line).get("key")
    except (ValueError, AttributeError):
        return None


def _one_line(value: str) -> str:
    """Return a value without line ends, which would begin a header of its own."""
    return " ".join(value.split())
