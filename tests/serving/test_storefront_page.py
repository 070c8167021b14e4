"""The storefront page speaks the interface as it is, and takes no answer for markup."""

import functools
import html
import json
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from http_server import http_server
from live_shop import LiveShop, live_shop
from programs import needed
from published_shop import Published, app_of

from features.store import Store
from serving.state import ServingState

PAGE = Path(__file__).parents[2] / "examples" / "storefront" / "index.html"
DRIVER = """<!doctype html><title>waiting</title>
<iframe id="frame" width="1200" height="900"></iframe>
<script>
const frame = document.getElementById("frame");
frame.src = "index.html#" + location.hash.slice(1);
const all = (query) => [...frame.contentDocument.querySelectorAll(query)];
const cards = () => all("#cards > .card");
const ids = () => cards().map((card) => card.dataset.item);
async function until(what, holds) {
  for (let tries = 0; tries < 400; tries += 1) {
    if (holds()) return;
    await new Promise((done) => setTimeout(done, 25));
  }
  throw new Error(what + "; " + all("#problem")[0].textContent);
}
frame.onload = async () => {
  const told = {};
  try {
    await (STEPS)(told);
  } catch (error) {
    told.error = error.message;
  }
  document.title = JSON.stringify(told);
};
</script>"""


def test_every_path_it_asks_is_in_the_document(tmp_path: Path) -> None:
    paths = app_of(ServingState(Store(tmp_path))).openapi()["paths"]
    asked = set(re.findall(r"[`\"](/v1/[^`\"?]*)", PAGE.read_text("utf-8")))
    shapes = {re.sub(r"\{\w+\}", "{}", path): path for path in paths}
    for path in asked:
        assert re.sub(r"\$\{[^}]*\}", "{}", path) in shapes, path
    assert len(asked) == 5


def test_answers_are_texts_and_nothing_is_loaded_from_elsewhere() -> None:
    page = PAGE.read_text("utf-8")
    for risky in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert risky not in page
    assert not re.search(r"(?:src|href)=[\"'](?!#|data:)", page)
    assert not re.search(r"url\(|@import", page)
    assert "default-src 'none'" in page
    assert "localStorage" not in page


def test_every_field_has_a_label() -> None:
    page = PAGE.read_text("utf-8")
    inputs = re.findall(r"<input\b", page)
    labelled = re.findall(r"<label>(?:(?!</label>).)*<input\b(?:(?!</label>).)*</label>", page)
    assert len(inputs) == len(labelled) >= 8


@contextmanager
def pages(folder: Path) -> Iterator[str]:
    """Serve the files of a folder; yield where."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def told_by_browser(
    published: Published, folder: Path, steps: str, **linked: str
) -> tuple[dict[str, Any], LiveShop]:
    """Open the page against a live shop, take steps in it, and return what they noted."""
    chromium = needed("chromium")
    site = folder / "site"
    site.mkdir()
    (site / "index.html").write_bytes(PAGE.read_bytes())
    (site / "driver.html").write_text(DRIVER.replace("STEPS", steps), "utf-8")
    with (
        pages(site) as origin,
        live_shop(published.store, folder, cors_origins=(origin,)) as shop,
        http_server(shop.client.app) as address,
    ):
        given = {"address": address, **linked}
        hash_ = "&".join(f"{name}={quote(value)}" for name, value in given.items())
        command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
        command += [f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=20000"]
        command += [f"{origin}/driver.html#{hash_}"]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
        title = re.search(r"<title>(.*?)</title>", done.stdout, re.DOTALL)
        assert title is not None
        told = json.loads(html.unescape(title[1]))
        assert "error" not in told, told
        return told, shop


@pytest.mark.browser
def test_a_user_browses_dismisses_objects_and_asks_for_more(
    published_once: Published, tmp_path: Path
) -> None:
    user = published_once.buyer
    steps = """async (told) => {
      await until("cards", () => cards().length === 12);
      told.first = ids();
      told.heading = all("#items-title")[0].textContent;
      told.prices = all("#cards .price").map((price) => price.textContent);
      told.chips = all("#cards .chip").length;
      cards()[0].querySelector(".acts button").click();
      await until("dismissed", () => cards().length === 11);
      const wrong = all("#cards .acts button").find((button) => /wrong/.test(button.textContent));
      told.objected = wrong.closest(".card").dataset.item;
      wrong.click();
      await until("objected", () => wrong.disabled);
      cards()[0].querySelector(".title").click();
      told.clicked = ids()[0];
      await until("looked at", () => !all("#looked")[0].hidden);
      told.similar = all("#similar .card").length;
      told.said = all("#said .chip").length;
      all("#more")[0].click();
      await until("more", () => cards().length > 11);
      told.last = ids();
      told.problem = all("#problem")[0].textContent;
    }"""
    told, shop = told_by_browser(
        published_once, tmp_path, steps, user=user, currency="EUR", aspects="sound"
    )
    assert told["problem"] == ""
    assert told["heading"] == f"For {user}"
    assert all(price.startswith("€") for price in told["prices"])
    assert told["chips"] > 3
    assert told["similar"] == 8
    assert told["said"] > 0
    assert len(told["last"]) == len(set(told["last"])) == 23
    assert shop.state.snapshot is not None
    assert shop.state.snapshot.live is not None
    live = shop.state.snapshot.live.of(user)
    assert live is not None
    assert live.dismissed == {told["first"][0]}
    assert told["clicked"] in live.browsed
    assert live.wrong_causes or live.wrong_quotes


@pytest.mark.browser
def test_an_anonymous_visit_leads_on_by_what_was_looked_at(
    published_once: Published, tmp_path: Path
) -> None:
    steps = """async (told) => {
      await until("cards", () => cards().length === 12);
      told.status = all("#status")[0].textContent;
      const unwanted = ids()[1];
      cards()[1].querySelector(".acts button").click();
      await until("dismissed", () => cards().length === 11);
      told.before = ids();
      cards()[0].querySelector(".title").click();
      const status = all("#status")[0];
      await until("again", () => cards().length === 12 && !/popular/.test(status.textContent));
      told.after = ids();
      told.unwanted = unwanted;
    }"""
    told, shop = told_by_browser(published_once, tmp_path, steps, anonymous="1")
    assert "popular" in told["status"]
    assert told["unwanted"] not in told["after"]
    assert told["after"] != told["before"]
    assert shop.state.snapshot is not None
    assert shop.state.snapshot.live is not None
    assert shop.state.snapshot.live.position == 0


@pytest.mark.browser
def test_markup_in_an_answer_is_shown_and_not_obeyed(
    published_once: Published, tmp_path: Path
) -> None:
    hostile = "<img src=x onerror=document.body.remove()>"
    steps = """async (told) => {
      await until("cards", () => cards().length === 12);
      told.heading = all("#items-title")[0].textContent;
      told.images = all("#items img").length;
    }"""
    told, _ = told_by_browser(published_once, tmp_path, steps, user=hostile)
    assert told == {"heading": f"For {hostile}", "images": 0}


@pytest.mark.browser
def test_what_the_server_refuses_is_told(published_once: Published, tmp_path: Path) -> None:
    steps = """async (told) => {
      await until("told", () => all("#problem")[0].textContent);
      told.problem = all("#problem")[0].textContent;
    }"""
    told, _ = told_by_browser(published_once, tmp_path, steps, aspects="a" * 300)
    assert "422" in told["problem"]
    assert "prefer_aspects.0" in told["problem"]
