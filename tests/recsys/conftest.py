"""One fit of the tiny shop, shared by every test that needs trained parts."""

import pytest
from tiny_shop import CONFIG, FittedShop, fit_tiny, tiny_shop

from features.visibility import hold_out
from recsys.retrieval import fit_sources, tower_data
from recsys.tower_fitting import fit_towers
from recsys.world import build_world


@pytest.fixture(scope="session")
def shop() -> FittedShop:
    """The shop at offset 1, with its sources, and the whole fit. Never written to."""
    tables = tiny_shop()
    world = build_world(tables, hold_out(tables.events, tables.reviews, offset=1))
    towers = fit_towers(tower_data(world, CONFIG), CONFIG.towers, CONFIG.training)
    return FittedShop(
        tables=tables,
        world=world,
        retrieval=fit_sources(world, towers, CONFIG),
        fitted=fit_tiny(tables),
    )
