"""The live model, switched over HTTP, and what is measured."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import faiss
import pytest
from live_shop import LiveShop, live_shop
from published_shop import Published

from recsys.bundle_manifest import Manifest
from recsys.bundle_versions import promote
from recsys.retrieval_index import save_index
from serving.schema_service import Switched


@pytest.fixture
def shop(published: Published, tmp_path: Path) -> Iterator[LiveShop]:
    with live_shop(published.store, tmp_path) as shop:
        yield shop


def test_a_bundle_is_promoted_and_rolled_back(shop: LiveShop, published: Published) -> None:
    published.add_bundle("v2")

    promoted = shop.client.post("/v1/model/promote", json={"version": "v2"})

    assert promoted.status_code == 200, promoted.text
    switched = Switched.model_validate_json(promoted.content)
    assert (switched.model_version, switched.previous_version) == ("v2", "v1")
    assert shop.ask().model_version == "v2"

    back = Switched.model_validate_json(shop.client.post("/v1/model/rollback").content)
    assert (back.model_version, back.previous_version) == ("v1", "v2")
    assert shop.ask().model_version == "v1"
    again = shop.client.post("/v1/model/rollback")
    assert again.status_code == 409
    assert "no earlier bundle" in again.json()["detail"]


def test_a_damaged_bundle_is_refused_and_nothing_changes(
    shop: LiveShop, published: Published
) -> None:
    folder = published.add_bundle("v2")
    (folder / "ranker.txt").write_text("tree")
    answered = shop.client.post("/v1/model/promote", json={"version": "v2"})
    assert answered.status_code == 409
    assert "ranker.txt has SHA-256" in answered.json()["detail"]
    assert shop.ask().model_version == "v1"
    assert (published.bundles / "current").resolve().name == "v1"


def narrow_index(folder: Path) -> None:
    """Give a bundle an index that its own vectors do not fit, and hashes that are right."""
    save_index(faiss.IndexFlatIP(3), folder / "index.faiss")
    manifest = read_json(folder)
    manifest["files"]["index.faiss"] = hashlib.sha256(
        (folder / "index.faiss").read_bytes()
    ).hexdigest()
    manifest["digest"] = Manifest(**manifest).computed_digest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


def read_json(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "manifest.json").read_text())


def test_a_bundle_that_cannot_answer_is_not_switched_to(
    shop: LiveShop, published: Published
) -> None:
    narrow_index(published.add_bundle("v2"))
    answered = shop.client.post("/v1/model/promote", json={"version": "v2"})
    assert answered.status_code == 409
    assert "cannot answer whole" in answered.json()["detail"]
    assert (published.bundles / "current").resolve().name == "v1"
    assert shop.ask().model_version == "v1"


def test_a_server_that_starts_beside_a_broken_bundle_answers_with_the_one_before(
    published: Published, tmp_path: Path
) -> None:
    folder = published.add_bundle("v2")
    promote(published.bundles, "v2")
    narrow_index(folder)
    with live_shop(published.store, tmp_path) as shop:
        assert shop.ask(user_id="u00001").model_version == "v1"
        error = shop.client.get("/v1/model").json()["reload_error"]
    assert "v2 cannot answer whole" in error


@pytest.mark.parametrize("version", ["v9", "../bundles/v1", "/etc", "v1\u0000", ".", "current"])
def test_what_is_no_bundle_is_not_promoted(shop: LiveShop, version: str) -> None:
    answered = shop.client.post("/v1/model/promote", json={"version": version})
    assert answered.status_code in (404, 409)
    assert shop.ask().model_version == "v1"


def test_what_is_measured_is_told_to_prometheus(shop: LiveShop) -> None:
    shop.ask(user_id="u00001")
    shop.ask()
    shop.client.post("/v1/recommendations", json={"k": 0})
    shop.tell({"event_id": "e", "user_id": "u", "event_type": "view", "item_id": "i00001"})
    shop.client.get("/nothing/here")
    shop.ask()

    answered = shop.client.get("/metrics")

    assert answered.headers["content-type"].startswith("text/plain")
    lines = dict(
        line.rsplit(" ", 1) for line in answered.text.splitlines() if not line.startswith("#")
    )
    route = 'method="POST",route="/v1/recommendations"'
    assert lines[f'sentirec_request_seconds_count{{{route},status="200"}}'] == "3.0"
    assert lines[f'sentirec_request_seconds_count{{{route},status="422"}}'] == "1.0"
    other = 'method="GET",route="other",status="404"'
    assert lines[f"sentirec_request_seconds_count{{{other}}}"] == "1.0"
    assert lines['sentirec_answers_total{degraded=""}'] == "1.0"
    assert lines['sentirec_answers_total{degraded="no_user_id"}'] == "2.0"
    assert lines["sentirec_ready_made_answers_total"] == "2.0"
    assert lines["sentirec_candidates_count"] == "1.0"
    for stage in ("retrieve", "features", "rank", "rerank", "write"):
        assert float(lines[f'sentirec_stage_seconds_sum{{stage="{stage}"}}']) > 0
    assert lines["sentirec_event_log_entries_behind"] == "1.0"
    assert float(lines["sentirec_event_log_newest_timestamp_seconds"]) > 1.7e9
    assert -1 <= float(lines["sentirec_table_polarity_mean"]) <= 1


def test_pages_of_listed_origins_may_ask(published_once: Published, tmp_path: Path) -> None:
    page = "https://shop.example"
    with live_shop(published_once.store, tmp_path, cors_origins=[page]) as shop:
        asked = {"Origin": page, "Access-Control-Request-Method": "POST"}
        asked["Access-Control-Request-Headers"] = "authorization,content-type"
        allowed = shop.client.options("/v1/recommendations", headers=asked)
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == page
        wrong = shop.client.post("/v1/recommendations", json={"k": 0}, headers={"Origin": page})
        assert wrong.status_code == 422
        assert wrong.headers["access-control-allow-origin"] == page
        other = {**asked, "Origin": "https://elsewhere.example"}
        refused = shop.client.options("/v1/recommendations", headers=other)
        assert refused.status_code == 400
        assert "access-control-allow-origin" not in refused.headers
