"""From the configuration file to the settings of a fit."""

from pathlib import Path

from jobs.config import Config, load_config
from jobs.settings import recommender_config
from recsys.ranker_config import SATISFACTION_COUNTS


def test_a_shop_may_demand_that_satisfaction_counts(tmp_path: Path) -> None:
    path = tmp_path / "sentirec.toml"
    path.write_text("[train]\nsatisfaction_counts = true\n")
    assert recommender_config(load_config(path)).ranker.monotone == SATISFACTION_COUNTS
    assert recommender_config(Config()).ranker.monotone == {}
