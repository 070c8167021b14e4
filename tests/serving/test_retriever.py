"""A retriever beside the replicas finds what they would; where it fails it is done without."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from live_shop import LiveShop, live_shop
from published_shop import Published
from test_serve_command import serving

from recsys.bundle import load_item_vectors
from recsys.bundle_versions import promote
from recsys.errors import BundleError
from recsys.exact_search import ExactSearch
from serving.processes import free_port
from serving.retriever import Retriever, Retrieving, Wanted
from serving.retriever_deployment import answers_of


@pytest.fixture(scope="module")
def exact(published_once: Published) -> Retrieving:
    vectors, version = load_item_vectors(published_once.bundles / "v1")
    held = (version, ExactSearch(vectors, "cpu"))

    async def ask(wanted: Wanted) -> np.ndarray | None:
        return answers_of([wanted], held)[0]

    return ask


@pytest.fixture
def outcomes() -> Counter[str]:
    return Counter()


@pytest.fixture(scope="module")
def plain(
    published_once: Published, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveShop]:
    with live_shop(published_once.store, tmp_path_factory.mktemp("log")) as shop:
        yield shop


def users_of(published: Published) -> list[str]:
    return published.tables["user_profiles"]["user_id"].head(20).to_list()


def counted(outcomes: Counter[str], ask: Retrieving, limit_s: float = 5.0) -> Retriever:
    return Retriever(ask, lambda outcome: outcomes.update([outcome]), limit_s)


def test_lists_are_those_of_a_replica_alone(
    published_once: Published,
    tmp_path: Path,
    plain: LiveShop,
    exact: Retrieving,
    outcomes: Counter[str],
) -> None:
    users = users_of(published_once)
    with live_shop(published_once.store, tmp_path, retriever=counted(outcomes, exact)) as shop:
        for user in users:
            assert shop.ask(user_id=user, k=30).items == plain.ask(user_id=user, k=30).items
        assert outcomes == {"found": len(users)}
        # Behind filters, and for longer lists than were asked for, each looks itself.
        few = {"in_stock": True}
        for wanted in ({"filters": few}, {"k": 90}):
            asked = {"user_id": users[0], **wanted}
            assert shop.ask(**asked).items == plain.ask(**asked).items
        batch = {"requests": [{"user_id": user} for user in users[:3]]}
        answered = shop.client.post("/v1/recommendations:batch", json=batch).json()["answers"]
        lists = [[item["item_id"] for item in one["items"]] for one in answered]
        assert lists == [[i.item_id for i in plain.ask(user_id=user).items] for user in users[:3]]
        told = shop.ask(k=5)
    assert told.degraded == "no_user_id"
    assert set(outcomes) == {"found"}


async def fails(wanted: Wanted) -> np.ndarray | None:
    raise RuntimeError("out of memory")


async def hangs(wanted: Wanted) -> np.ndarray | None:
    await asyncio.sleep(60)
    return None


@pytest.mark.parametrize("ask", [fails, hangs])
def test_one_that_fails_is_left_alone(
    published_once: Published,
    tmp_path: Path,
    plain: LiveShop,
    outcomes: Counter[str],
    ask: Retrieving,
) -> None:
    user = users_of(published_once)[0]
    retriever = counted(outcomes, ask, limit_s=0.05)
    with live_shop(published_once.store, tmp_path, retriever=retriever) as shop:
        answers = [shop.ask(user_id=user, k=9) for _ in range(3)]
    for answered in answers:
        assert answered.items == plain.ask(user_id=user, k=9).items
        assert answered.degraded is None
    assert 1 <= outcomes["failed"] < 3


def test_one_of_another_bundle_is_not_believed(
    published_once: Published, tmp_path: Path, plain: LiveShop, outcomes: Counter[str]
) -> None:
    vectors, _ = load_item_vectors(published_once.bundles / "v1")
    held = ("v0", ExactSearch(-vectors, "cpu"))

    async def ask(wanted: Wanted) -> np.ndarray | None:
        return answers_of([wanted], held)[0]

    user = users_of(published_once)[0]
    with live_shop(published_once.store, tmp_path, retriever=counted(outcomes, ask)) as shop:
        assert shop.ask(user_id=user, k=9).items == plain.ask(user_id=user, k=9).items
    assert outcomes == {"other_bundle": 1}


def test_questions_of_several_depths_are_answered_together(published_once: Published) -> None:
    vectors, version = load_item_vectors(published_once.bundles / "v1")
    search = ExactSearch(vectors, "cpu")
    wanted = [
        Wanted(version=version, vector=vectors[3], depth=5),
        Wanted(version="other", vector=vectors[3], depth=5),
        Wanted(version=version, vector=vectors[4], depth=7),
    ]
    first, other, last = answers_of(wanted, (version, search))
    assert first is not None
    assert last is not None
    assert first.tolist() == search.best(vectors[3][None], 5)[0].tolist()
    assert (other, len(last)) == (None, 7)
    assert answers_of(wanted, None) == [None, None, None]


def test_altered_vectors_are_refused(published: Published) -> None:
    folder = published.bundles / "v1"
    path = folder / "arrays" / "item_vectors.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"item_vectors\.npy was altered or damaged"):
        load_item_vectors(folder)


@pytest.mark.slow
def test_a_server_with_a_retriever_asks_it(published: Published, tmp_path: Path) -> None:
    (published.root / "sentirec.toml").write_text(
        '[serve]\nretriever = "cpu"\nsentiment_replicas = 0\npoll_interval_s = 0.2\n'
    )
    users, port, log = users_of(published), free_port(), tmp_path / "stderr.txt"
    with serving(published, port, log) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, log.read_text()
        url = json.loads(line)["url"]
        with httpx.Client(base_url=url, trust_env=False, timeout=30) as client:

            def ask(user: str) -> str:
                answered = client.post("/v1/recommendations", json={"user_id": user})
                assert answered.status_code == 200
                return answered.json()["model_version"]

            def found() -> float:
                name = 'sentirec_retriever_questions_total{outcome="found"}'
                lines = client.get("/metrics").text.splitlines()
                return sum(float(x.split()[1]) for x in lines if x.startswith(name))

            def until_found_with(version: str) -> None:
                before = found()
                for _ in range(300):
                    if ask(users[0]) == version and found() > before:
                        return
                raise AssertionError(client.get("/metrics").text)

            until_found_with("v1")
            # A newer bundle is taken over by both.
            published.add_bundle("v2")
            promote(published.bundles, "v2")
            until_found_with("v2")
