"""`sentirec bundle update`, from the command to what a running replica shows."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from live_shop import live_shop
from published_shop import AS_OF, Published
from typer.testing import CliRunner

from features.schema import ItemTexts
from features.store import Store
from jobs.cli import app, exit_code_of
from recsys.bundle import load_bundle, write_bundle
from recsys.bundle_manifest import verify_bundle
from recsys.bundle_versions import current_bundle, promote
from recsys.retrieval_index import IndexConfig

NEW = "brand-new"


@pytest.fixture
def shop(published: Published) -> Published:
    """A store as `sentirec train` and `sentirec score` leave it, with one item more since."""
    store, version = published.store, published.signals["model_version"][0]
    for name, frame in (
        ("events", published.shop.events),
        ("reviews", published.shop.reviews),
        ("review_signals", published.signals),
    ):
        store.overwrite(name, frame)
    assert published.fitted.recommender is not None
    write_bundle(
        published.bundles / "v2",
        published.fitted.recommender,
        created_at=AS_OF.isoformat(),
        metrics=published.fitted.metrics,
        data={
            "model_version": version,
            "as_of": AS_OF.isoformat(),
            "comparison": vars(published.fitted.comparison),
        },
        code={"version": "test"},
    )
    promote(published.bundles, "v2")
    add_twin(store, published, _most_bought(published), version)
    return published


def _most_bought(published: Published) -> str:
    bought = published.shop.events.filter(pl.col("event_type") == "purchase")
    return bought["item_id"].mode().sort()[0]


def add_twin(store: Store, published: Published, item_id: str, version: str) -> None:
    """Put an item into the store that is like one that sells, with a text of its own."""
    items = published.shop.items
    twin = items.filter(item_id=item_id).with_columns(item_id=pl.lit(NEW), title=pl.lit("a twin"))
    store.overwrite("items", pl.concat([items, twin]))
    said = published.shop.reviews.filter(item_id=item_id).join(
        published.signals.filter(language="en"), on="review_id"
    )
    text = {
        "item_id": [NEW],
        "model_version": [version],
        "text_key": ["k"],
        "language": [said["language"][0]],
        "embedding": [said["embedding"][0].to_list()],
    }
    store.overwrite("item_texts", pl.DataFrame(text, schema=ItemTexts.create_empty().schema))


def run(store: Store, *options: str) -> dict:
    command = ["bundle", "update", "--store", str(store.root), "--as-of", AS_OF.isoformat()]
    result = CliRunner().invoke(app, [*command, *options, "--json", "-"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_running_replica_takes_items_in_and_out(shop: Published, tmp_path: Path) -> None:
    with live_shop(shop.store, tmp_path / "live") as live:

        def shown(user_id: str) -> list[str]:
            return [item.item_id for item in live.ask(user_id=user_id, k=100).items]

        users = shop.tables["purchase_history"]["user_id"].unique().sort().to_list()[:25]
        before = {user: shown(user) for user in users}
        gone = before[users[0]][0]
        file = tmp_path / "gone.txt"
        file.write_text(f"{gone}\n\n")
        told = run(shop.store, "--remove", str(file))
        assert (told["added"], told["removed"], told["made_of"]) == ([NEW], [gone], "v2")
        live.state.refresh()
        assert {user: shown(user) for user in users} == before, "it is not live yet"
        publish = ["publish", told["version"], "--store", str(shop.store.root)]
        published = CliRunner().invoke(app, publish)
        assert published.exit_code == 0, published.output
        live.state.refresh()
        after = {user: shown(user) for user in users}
        snapshot = live.state.snapshot
        assert snapshot is not None
        assert snapshot.manifest.version == told["version"]
        assert any(NEW in items for items in after.values())
        assert not any(gone in items for items in after.values())
        bought = shop.tables["purchase_history"]
        for user, items in after.items():
            own = set(bought.filter(user_id=user)["item_id"])
            assert not own & set(items)
        liked = live.client.get(f"/v1/items/{_most_bought(shop)}/similar", params={"k": 50})
        assert liked.status_code == 200, liked.text
        similar = [item["item_id"] for item in liked.json()["items"]]
        assert NEW in similar, "its twin"
        assert gone not in similar


def test_what_is_written_is_whole_and_says_what_it_was_made_of(shop: Published) -> None:
    told = run(shop.store)
    folder = shop.bundles / told["version"]
    manifest = verify_bundle(folder)
    old, old_manifest = load_bundle(shop.bundles / "v2")
    new, _ = load_bundle(folder)
    assert manifest.metrics == old_manifest.metrics
    assert manifest.data["trained_as_of"] == AS_OF.isoformat()
    assert manifest.data["updates"] == [{"made_of": "v2", "num_added": 1, "num_removed": 0}]
    assert new.items.ids.tolist() == [*old.items.ids.tolist(), NEW]
    assert new.index.ntotal == len(new.items)
    assert current_bundle(shop.bundles) == (shop.bundles / "v2").resolve()
    assert told["without_text"] == 0
    world = shop.fitted.world
    assert world is not None
    mask = np.ones(len(old.items), dtype=bool)
    for user in range(0, 200, 11):
        query = world.population.query(np.array([user]), mask)
        ours = old.recommend(query, 20)
        theirs = new.recommend(replace(query, allowed=np.pad(mask, (0, 1))), 20)
        assert theirs.item_idx.tolist() == ours.item_idx.tolist()
        assert theirs.score.tolist() == ours.score.tolist()
    twin = new.items.places[_most_bought(shop)]
    vectors = new.towers.item_vectors
    unit = vectors[:, :-2] / np.linalg.norm(vectors[:, :-2], axis=1, keepdims=True)
    nearness = unit @ unit[-1]
    assert nearness[twin] > np.quantile(nearness, 0.5), "it is placed by what is known of it"


def refusal(store: Store, *options: str) -> tuple[int | None, str]:
    with pytest.raises(Exception) as found:  # noqa: PT011
        run(store, *options)
    assert isinstance(found.value, Exception)
    return exit_code_of(found.value), str(found.value)


def test_what_makes_no_sense_is_refused(shop: Published, tmp_path: Path) -> None:
    file = tmp_path / "ids.txt"
    file.write_text("nobody knows me\n")
    code, told = refusal(shop.store, "--remove", str(file))
    assert code == 2
    assert "'nobody knows me'" in told
    file.write_text("\n \n")
    assert refusal(shop.store, "--remove", str(file))[0] == 2
    assert "no bundle version" in refusal(shop.store, "../v2")[1]
    assert "is no bundle" in refusal(shop.store, "v7")[1]
    shop.store.overwrite("items", shop.shop.items)
    code, told = refusal(shop.store)
    assert code == 2
    assert "nothing to do" in told
    folders = {path.name for path in shop.bundles.iterdir() if path.is_dir()}
    assert folders == {"v1", "v2", "current"}, "nothing was written"
    shop.store.overwrite("review_signals", shop.signals[:-5])
    assert "sentirec score" in refusal(shop.store)[1]


def test_an_index_that_finds_too_little_is_refused(shop: Published) -> None:
    recommender, manifest = load_bundle(shop.bundles / "v2")
    config = replace(recommender.config, index=IndexConfig(min_recall=1.01))
    strict = replace(recommender, config=config)
    folder = shop.bundles / "v3"
    write_bundle(folder, strict, created_at="", metrics={}, data=dict(manifest.data), code={})
    code, told = refusal(shop.store, "v3")
    assert code == 3
    assert "of the exact top 100" in told
