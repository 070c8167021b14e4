"""`POST /v1/sentiment` over the real scorer, without a server."""

from collections.abc import Iterator

import numpy as np
import pytest
from starlette.testclient import TestClient

from sentiment.scorer import ReviewScorer, ScorerConfig
from serving.sentiment_app import PATH, build_sentiment_app
from serving.sentiment_schema import MAX_TEXT_CHARACTERS

TEXT = "The sound is <b>wonderful</b>, but I wish the cable were longer!"


@pytest.fixture(scope="module")
def scorer() -> ReviewScorer:
    return ReviewScorer.load(ScorerConfig(max_tokens=64))


@pytest.fixture(scope="module")
def client(scorer: ReviewScorer) -> Iterator[TestClient]:
    with TestClient(build_sentiment_app(scorer)) as client:
        yield client


def test_the_answer_is_what_the_scorer_says(client: TestClient, scorer: ReviewScorer) -> None:
    answered = client.post(PATH, json={"text": TEXT, "embedding": True})
    assert answered.status_code == 200, answered.text
    found, wanted = answered.json(), scorer.score([TEXT]).row(0, named=True)
    assert found["text"] == "The sound is wonderful , but I wish the cable were longer!"
    assert found["model_version"] == scorer.version
    assert len(found["request_id"]) == 32
    np.testing.assert_allclose(found["embedding"], wanted["embedding"], atol=1e-5)
    for name in ("polarity", "intensity", "stars_expected", "p_neutral"):
        assert found[name] == pytest.approx(wanted[name], abs=1e-5)
    (need,) = found["needs"]
    assert found["text"][need["start"] : need["end"]] == need["text"]
    assert need["kind"] == "improvement"
    assert found["words"] is None


def test_words_are_given_where_they_are_asked_for(client: TestClient) -> None:
    found = client.post(PATH, json={"text": "I love it", "explain": True}).json()
    assert [found["text"][w["start"] : w["end"]] for w in found["words"]] == ["I", "love", "it"]
    assert max(found["words"], key=lambda word: word["attribution"])["start"] == 2
    assert found["embedding"] is None


@pytest.mark.parametrize("text", ["", "<br/>", "\u200b"])
def test_nothing_to_read_is_an_answer_too(client: TestClient, text: str) -> None:
    found = client.post(PATH, json={"text": text, "explain": True, "embedding": True}).json()
    assert (found["p_neutral"], found["emotions"], found["embedding"]) == (1.0, None, None)
    assert found["words"] == []


def test_other_kinds_of_text_are_said_back(client: TestClient) -> None:
    asked = {"text": "屏幕坏了，请尽快处理", "source": "support"}
    found = client.post(PATH, json=asked).json()
    assert (found["source"], found["language"]) == ("support", "zh")
    assert found["polarity"] < 0


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"text": "x" * (MAX_TEXT_CHARACTERS + 1)}, "text"),
        ({"text": 5}, "text"),
        ({}, "text"),
        ({"text": "good", "colour": "red"}, "colour"),
        ({"text": "good", "source": "rumour"}, "source"),
        ({"text": "good", "explain": "yes"}, "explain"),
    ],
)
def test_a_wrong_request_names_its_field(client: TestClient, body: dict, field: str) -> None:
    answered = client.post(PATH, json=body)
    assert answered.status_code == 422
    assert answered.headers["content-type"] == "application/problem+json"
    assert [error["field"] for error in answered.json()["errors"]] == [field]


def test_what_is_no_json_or_no_path_is_a_problem(client: TestClient) -> None:
    assert (
        client.post(PATH, content=b"{", headers={"content-type": "application/json"}).status_code
        == 400
    )
    assert client.post(PATH, content=b"text=good").status_code == 415
    missing = client.get(f"{PATH}/nothing")
    assert (missing.status_code, missing.headers["content-type"]) == (
        404,
        "application/problem+json",
    )


def test_it_answers_where_a_prefix_is_mounted(scorer: ReviewScorer) -> None:
    app = build_sentiment_app(scorer)
    with TestClient(app, root_path=PATH) as mounted:
        assert mounted.post(PATH, json={"text": "good"}).status_code == 200
    page = TestClient(app).get(f"{PATH}/openapi.json").json()
    assert list(page["paths"]) == [PATH]
    assert "SentimentResponse" in page["components"]["schemas"]
