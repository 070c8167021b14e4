"""Changes of alerts reach a file, a webhook and a mail server, each once, failures later."""

import base64
import hmac
import json
import smtplib
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import polars as pl
import pytest
from alert_rows import DAY, alert_of
from pydantic import ValidationError

from features.alert_tables import AlertChanges, empty
from features.store import Store
from jobs.alerts_section import AlertsSection, MailSection, WebhookSection
from jobs.alerts_tables import read_table
from jobs.deliver_alerts import append_line, deliver, sinks_of
from jobs.errors import DeliveryError

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """One open alert with a quote."""
    made = Store(tmp_path / "shop")
    made.append("alerts", alert_of("lamp\nBcc: all@example.com"))
    name = made.scan("alerts").collect()["alert_id"][0]
    _change(made, name, 0, "open")
    quote = {
        "alert_id": name,
        "review_id": "r1",
        "user_id": "u-secret",
        "quote": "It broke.",
        "aspect": None,
        "polarity": -0.9,
        "language": "en",
    }
    made.append("alert_quotes", pl.DataFrame([quote], schema=empty("alert_quotes").schema))
    return made


def _change(store: Store, name: str, number: int, state: str) -> None:
    row = {"alert_id": name, "number": number, "state": state, "day": DAY, "by": "detect"}
    frame = pl.DataFrame([row | {"note": None}], schema=empty("alert_changes").schema)
    store.append("alert_changes", AlertChanges.validate(frame))


class _Mailbox(socketserver.ThreadingTCPServer):
    """A small SMTP server (RFC 5321): takes mail, or refuses it."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.mails: list[str] = []
        self.refuses = False


class _Session(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        box = self.server
        assert isinstance(box, _Mailbox)
        self._say("220 here")
        while line := self.rfile.readline():
            verb = line.split()[0].upper().decode() if line.split() else ""
            if verb == "DATA":
                self._say("354 go on")
                lines = []
                while (part := self.rfile.readline()) != b".\r\n":
                    lines.append(part)
                box.mails.append(b"".join(lines).decode())
                self._say("250 taken")
            elif verb == "MAIL" and box.refuses:
                self._say("451 not now")
            elif verb == "QUIT":
                self._say("221 bye")
                return
            else:
                self._say("250 ok")

    def _say(self, words: str) -> None:
        self.wfile.write(f"{words}\r\n".encode())


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_address[1]  # type: ignore[index, misc]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_mail_that_was_refused_is_sent_by_the_next_run_and_once(store: Store) -> None:
    box = _Mailbox()
    box.refuses = True
    with serving(box) as port:
        section = AlertsSection(
            mail=MailSection(
                host="127.0.0.1",
                port=port,
                sender="shop@example.com",
                to=["a@example.com"],
                starttls=False,
            )
        )
        first = deliver(store, sinks_of(section), with_quotes=True)
        assert (first.sent, first.failed) == (0, 1)
        assert "not now" in first.errors[0]
        box.refuses = False
        runs = [deliver(store, sinks_of(section), with_quotes=True) for _ in range(2)]
    assert [(run.sent, run.failed) for run in runs] == [(1, 0), (0, 0)]
    assert len(box.mails) == 1
    head, _, body = box.mails[0].partition("\r\n\r\n")
    assert "\r\nBcc" not in head
    assert "[open] bad batch" in head
    assert "It broke." in body
    assert "u-secret" not in box.mails[0]
    kept = read_table(store, "alert_deliveries")
    assert kept.select("status", "attempts", "error").rows() == [("sent", 2, None)]


def test_the_webhook_is_signed_and_told_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[tuple[dict[str, str], bytes]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            heard.append((dict(self.headers.items()), body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with serving(HTTPServer(("127.0.0.1", 0), Hook)) as port:
        hook = WebhookSection(
            url=f"http://127.0.0.1:{port}/x", hosts=["127.0.0.1"], networks=["127.0.0.0/8"]
        )
        sinks = sinks_of(AlertsSection(webhook=hook))
        monkeypatch.delenv("SENTIREC_ALERTS_SECRET", raising=False)
        assert "SENTIREC_ALERTS_SECRET" in deliver(store, sinks, with_quotes=False).errors[0]
        monkeypatch.setenv("SENTIREC_ALERTS_SECRET", SECRET)
        assert deliver(store, sinks, with_quotes=False).sent == 1
        _change(store, store.scan("alerts").collect()["alert_id"][0], 1, "resolved")
        assert deliver(store, sinks, with_quotes=False).sent == 1
        assert deliver(store, sinks, with_quotes=False).sent == 0
    assert [json.loads(body)["type"] for _, body in heard] == ["alert.open", "alert.resolved"]
    assert len({headers["idempotency-key"] for headers, _ in heard}) == 2
    assert b"It broke" not in heard[0][1]
    headers, body = heard[0]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.digest(b"k" * 32, signed, "sha256")).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


def test_one_sink_that_fails_holds_up_no_other(store: Store, tmp_path: Path) -> None:
    section = AlertsSection(
        file=str(tmp_path / "alerts.jsonl"),
        mail=MailSection(
            host="127.0.0.1",
            port=1,
            sender="shop@example.com",
            to=["a@example.com"],
            starttls=False,
        ),
    )
    for run in range(2):
        done = deliver(store, sinks_of(section), with_quotes=True)
        assert (done.sent, done.failed) == (1 - run, 1)
    assert len((tmp_path / "alerts.jsonl").read_text().splitlines()) == 1
    tries = dict(read_table(store, "alert_deliveries").select("sink", "attempts").iter_rows())
    assert tries == {"file": 1, "mail": 2}


def test_a_line_is_added_once_also_after_a_cut(tmp_path: Path) -> None:
    path = tmp_path / "alerts.jsonl"
    path.write_text('{"key": "a-0", "state"')
    for key in ("a-0", "a-0", "a-1"):
        append_line(path, {"state": "open"}, key)
    lines = path.read_text().splitlines()
    assert [json.loads(line)["key"] for line in lines[1:]] == ["a-0", "a-1"]


def test_mail_goes_without_tls_to_this_machine_only() -> None:
    with pytest.raises(ValidationError, match="leave starttls on"):
        MailSection(host="mail.example.com", sender="a@b.c", to=["a@b.c"], starttls=False)


def test_a_sink_that_is_down_is_asked_once_a_run_and_hears_things_in_order(store: Store) -> None:
    name = store.scan("alerts").collect()["alert_id"][0]
    _change(store, name, 1, "acknowledged")
    _change(store, "never-written", 0, "open")
    asked: list[str] = []
    is_down = True

    def send(message: dict[str, object], key: str) -> None:
        asked.append(key)
        if is_down:
            raise DeliveryError("nobody there")

    assert deliver(store, {"hook": send}, with_quotes=False).failed == 1
    assert asked == [f"{name}-0"]
    is_down = False
    told = deliver(store, {"hook": send}, with_quotes=False)
    assert (told.sent, told.failed) == (2, 0)
    assert asked[1:] == [f"{name}-0", f"{name}-1"], "what no alert stands for is told to nobody"


def test_mail_that_a_recipient_does_not_get_is_not_counted_as_sent(
    monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    section = MailSection(
        host="localhost", sender="a@b.c", to=["one@b.c", "two@b.c"], starttls=False
    )
    monkeypatch.setattr(smtplib.SMTP, "connect", lambda *_: (220, b""))
    refused = {"two@b.c": (550, b"no such user")}
    monkeypatch.setattr(smtplib.SMTP, "send_message", lambda *_: refused)
    monkeypatch.setattr(smtplib.SMTP, "quit", lambda *_: (221, b""))
    sinks = sinks_of(AlertsSection(mail=section))
    told = deliver(store, sinks, with_quotes=False)
    assert told.sent == 0
    assert "two@b.c" in told.errors[0]


def test_a_line_whose_quote_has_odd_line_ends_is_added_once(tmp_path: Path) -> None:
    path = tmp_path / "alerts.jsonl"
    for _ in range(2):
        append_line(path, {"quote": "a\u2028b\u0085c"}, "key")
    assert len(path.read_text().split("\n")) == 2


@pytest.mark.parametrize("to", ["nonsense", "a@b.c\nBcc: z@z", "é@b.c"])
def test_what_is_no_address_is_refused_at_once(to: str) -> None:
    with pytest.raises(ValidationError):
        MailSection(host="localhost", sender="a@b.c", to=[to])
    with pytest.raises(ValidationError):
        WebhookSection(url="https://a.example", hosts=[], networks=[to])
