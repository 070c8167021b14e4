"""Bundles that change while a shop asks and tells: one is promoted and taken back, one is broken.

In order: `v2` is promoted by the library, as `sentirec publish` does, and rolled back; promoted and
rolled back over HTTP; then `current` is pointed at a damaged bundle behind the server's back, and
back again.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks.serving.mixed_load import Kept, MixedLoad
from benchmarks.serving.synthetic_shop import add_bundle
from recsys.bundle_versions import BUNDLES, CURRENT, promote, rollback

FIRST, SECOND, BROKEN = "v1", "v2", "broken"
_LIMIT_S = 120.0
_IN_A_ROW = 20
"""So many answers alike, over connections of their own, and all replicas are of one mind."""


@dataclass(frozen=True, kw_only=True)
class Swapped:
    """What a shop notices of swaps.

    Attributes:
        num_swaps: How often what is live was switched.
        num_answers: Answers as they should be.
        failures: What came of requests that were not answered so, told one by one.
        kept: What became of events.
        lists: How many lists each bundle made.
        seen_after_s: From a switch until all replicas answer by it, in order.
        reload_errors: What the replicas said of the broken bundle.
    """

    num_swaps: int
    num_answers: int
    failures: list[str]
    kept: Kept
    lists: dict[str, int]
    seen_after_s: list[float]
    reload_errors: set[str]


def survive_swaps(load: MixedLoad, url: str, store: Path) -> Swapped:
    """Switch bundles under a load, each once the switch before is seen.

    Args:
        load: That has not begun.
        url: Of the server, which needs no key.
        store: What it serves; it has one bundle.
    """
    bundles = store / BUNDLES
    add_bundle(store, SECOND)
    damage(add_bundle(store, BROKEN))
    switches: list[tuple[Callable[[], object], str]] = [
        (lambda: promote(bundles, SECOND), SECOND),
        (lambda: rollback(bundles), FIRST),
        (lambda: switch_over_http(url, "promote", version=SECOND), SECOND),
        (lambda: switch_over_http(url, "rollback"), FIRST),
    ]
    seen_after_s = []
    with load:
        load.wait_for(50)
        for switch, version in switches:
            started = time.monotonic()
            switch()
            _wait_for_all(url, lambda model, version=version: model["version"] == version)
            seen_after_s.append(time.monotonic() - started)
            load.wait_for(50)
        point_at(bundles, BROKEN)
        models = _wait_for_all(url, lambda model: model["reload_error"] is not None)
        load.wait_for(100)
        point_at(bundles, FIRST)
        _wait_for_all(url, lambda model: model["reload_error"] is None)
        load.wait_for(50)
    return Swapped(
        num_swaps=len(switches) + 2,
        num_answers=load.num_answers,
        failures=load.failures,
        kept=load.kept(store),
        lists=dict(load.versions),
        seen_after_s=seen_after_s,
        reload_errors={model["reload_error"] for model in models},
    )


def damage(bundle: Path) -> None:
    """Change one number of a bundle's ranker."""
    path = bundle / "ranker.txt"
    path.write_bytes(path.read_bytes().replace(b"1", b"2", 1))


def point_at(bundles: Path, version: str) -> None:
    """Switch `current` without the checks of `promote`."""
    staging = bundles / f".{CURRENT}.{version}"
    staging.symlink_to(version)
    staging.replace(bundles / CURRENT)


def switch_over_http(url: str, how: str, **body: str) -> dict[str, Any]:
    """Ask the server to `promote` or `rollback`."""
    answered = httpx.post(f"{url}/v1/model/{how}", json=body, trust_env=False, timeout=30.0)
    return answered.raise_for_status().json()


def _wait_for_all(url: str, is_wanted: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    """Wait until every replica tells of its model what is wanted, and return what they tell.

    Raises:
        RuntimeError: If it takes too long.
    """
    end = time.monotonic() + _LIMIT_S
    alike: list[dict[str, Any]] = []
    while len(alike) < _IN_A_ROW:
        answered = httpx.get(f"{url}/v1/model", trust_env=False, timeout=30.0)
        model = answered.raise_for_status().json()
        alike = [*alike, model] if is_wanted(model) else []
        if time.monotonic() > end:
            raise RuntimeError(f"not all replicas took it over within {_LIMIT_S:.0f} s: {model}")
        if not alike:
            time.sleep(0.02)
    return alike
