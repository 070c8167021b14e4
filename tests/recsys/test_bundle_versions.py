import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_shop import FittedShop

from recsys.bundle import write_bundle
from recsys.bundle_gate import check_gate
from recsys.bundle_manifest import verify_bundle
from recsys.bundle_versions import (
    CURRENT,
    current_bundle,
    promote,
    read_history,
    rollback,
)
from recsys.errors import BundleError, GateRefusedError
from recsys.evaluation import Comparison

GOOD, DAMAGED = ("a", "b", "c 1"), "broken"


@pytest.fixture(scope="module")
def originals(shop: FittedShop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three whole bundles and a damaged one."""
    root = tmp_path_factory.mktemp("originals")
    assert shop.fitted.recommender is not None
    for version in (*GOOD, DAMAGED):
        write_bundle(
            root / version, shop.fitted.recommender, created_at="", metrics={}, data={}, code={}
        )
    (root / DAMAGED / "ranker.txt").write_text("")
    return root


@pytest.fixture
def bundles(originals: Path, tmp_path: Path) -> Path:
    return linked(originals, tmp_path / "bundles")


def linked(originals: Path, folder: Path) -> Path:
    """Copy the bundles by hard links: they are never written to."""
    return shutil.copytree(originals, folder, copy_function=os.link)


def live(bundles: Path) -> str | None:
    current = current_bundle(bundles)
    return None if current is None else current.name


def test_nothing_is_live_at_first(bundles: Path) -> None:
    assert live(bundles) is None
    assert read_history(bundles) == []


def test_promotion_and_rollback(bundles: Path) -> None:
    promote(bundles, "a")
    assert live(bundles) == "a"
    promote(bundles, "c 1")
    promote(bundles, "c 1")
    promote(bundles, "b")
    assert (live(bundles), read_history(bundles)) == ("b", ["a", "c 1", "b"])
    assert rollback(bundles) == live(bundles) == "c 1"
    assert rollback(bundles) == live(bundles) == "a"
    with pytest.raises(BundleError, match="no earlier bundle"):
        rollback(bundles)
    assert (live(bundles), read_history(bundles)) == ("a", ["a"])


def test_a_version_can_come_back(bundles: Path) -> None:
    for version in ("a", "b", "a"):
        promote(bundles, version)
    assert read_history(bundles) == ["a", "b", "a"]
    assert rollback(bundles) == "b"


@pytest.mark.parametrize(
    "version", ["", ".", "..", "a/b", "/etc", "current", "history", ".a.writing", "a\nb"]
)
def test_what_is_no_version_is_refused(bundles: Path, version: str) -> None:
    with pytest.raises(BundleError, match="is no bundle version"):
        promote(bundles, version)
    assert live(bundles) is None


@pytest.mark.parametrize(
    ("version", "message"), [(DAMAGED, r"ranker\.txt has SHA-256"), ("missing", "is no bundle")]
)
def test_a_bad_bundle_leaves_the_live_one(bundles: Path, version: str, message: str) -> None:
    promote(bundles, "a")
    with pytest.raises(BundleError, match=message):
        promote(bundles, version)
    assert (live(bundles), read_history(bundles)) == ("a", ["a"])


def test_a_rollback_to_a_damaged_bundle_is_refused(bundles: Path) -> None:
    promote(bundles, "a")
    promote(bundles, "b")
    (bundles / "a" / "sources.json").unlink()
    with pytest.raises(BundleError, match=r"lacks sources\.json"):
        rollback(bundles)
    assert (live(bundles), read_history(bundles)) == ("b", ["a", "b"])


def test_a_reader_sees_one_bundle_or_the_other(bundles: Path) -> None:
    promote(bundles, "a")
    before = os.readlink(bundles / CURRENT)
    promote(bundles, "b")
    assert (before, os.readlink(bundles / CURRENT)) == ("a", "b")
    assert not [path.name for path in bundles.iterdir() if path.name.startswith(".")]


OPERATION = st.one_of(
    st.tuples(st.just("promote"), st.sampled_from([*GOOD, DAMAGED, "missing", "..", "current"])),
    st.tuples(st.just("rollback"), st.just("")),
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(OPERATION, max_size=8))
def test_current_is_always_a_whole_bundle_and_the_last_of_the_history(
    originals: Path, operations: list[tuple[str, str]]
) -> None:
    with tempfile.TemporaryDirectory(dir=originals.parent) as root:
        bundles = linked(originals, Path(root) / "bundles")
        history: list[str] = []
        for operation, version in operations:
            try:
                if operation == "promote":
                    promote(bundles, version)
                else:
                    rollback(bundles)
            except BundleError:
                assert version not in GOOD or operation == "rollback"
                assert operation == "promote" or len(history) < 2
            else:
                if operation == "rollback":
                    history.pop()
                elif not history or history[-1] != version:
                    history.append(version)
            assert read_history(bundles) == history
            assert live(bundles) == (history[-1] if history else None)
            current = current_bundle(bundles)
            if current is not None:
                verify_bundle(current)


def measured(ranker: float, source: float) -> dict[str, dict[str, float]]:
    return {"ranker": {"ndcg@10": ranker}, "text": {"ndcg@10": source}}


def compared(difference: float, standard_error: float = 0.0) -> Comparison:
    return Comparison(best_source="text", difference=difference, standard_error=standard_error)


@pytest.mark.parametrize(
    ("ranker", "source", "standard_error", "live_ndcg", "tolerance"),
    [
        (0.10, 0.10, 0.0, None, 0.0),
        (0.12, 0.10, 0.0, 0.12, 0.0),
        (0.096, 0.10, 0.0, None, 0.05),
        (0.08, 0.10, 0.02, None, 0.0),
        (0.10, 0.05, 0.0, 0.104, 0.05),
    ],
)
def test_the_gate_opens(
    ranker: float, source: float, standard_error: float, live_ndcg: float | None, tolerance: float
) -> None:
    of_live = None if live_ndcg is None else measured(live_ndcg, 0.0)
    comparison = compared(ranker - source, standard_error)
    check_gate(measured(ranker, source), comparison, of_live, tolerance=tolerance)


@pytest.mark.parametrize(
    ("ranker", "source", "standard_error", "live_ndcg", "message"),
    [
        (0.08, 0.10, 0.01, None, r"0\.0800, below its own source text at 0\.1000, beyond noise"),
        (0.10, 0.05, 0.0, 0.11, r"0\.1000, the live bundle's is 0\.1100"),
        (float("nan"), 0.05, 0.0, None, "below its own source text"),
        (0.10, 0.05, 0.0, float("nan"), "the live bundle's is nan"),
    ],
)
def test_the_gate_refuses_with_both_numbers(
    ranker: float, source: float, standard_error: float, live_ndcg: float | None, message: str
) -> None:
    of_live = None if live_ndcg is None else measured(live_ndcg, 0.0)
    comparison = compared(ranker - source, standard_error)
    with pytest.raises(GateRefusedError, match=message):
        check_gate(measured(ranker, source), comparison, of_live, tolerance=0.0)
