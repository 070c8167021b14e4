"""From the configuration file to the configs of each stage."""

from collections.abc import Callable

from jobs.config import Config
from jobs.run_pipeline import PipelineConfig
from jobs.score_reviews import ScoreConfig
from jobs.train_two_tower import TrainerConfig, ray_tower_trainer
from recsys.candidates import CandidateConfig
from recsys.history_weights import HistoryWeights
from recsys.ranker_config import SATISFACTION_COUNTS, RankerConfig
from recsys.retrieval import RecommenderConfig, TowerTrainer
from recsys.retrieval_index import IndexConfig
from recsys.shown_lists import ShopWishes
from recsys.two_tower_config import TrainingConfig, TwoTowerConfig
from sentiment.score_section import resolve_device


def score_config(config: Config) -> ScoreConfig:
    """Return how reviews are scored."""
    section = config.score
    return ScoreConfig(
        scorer=section.scorer_config(),
        num_actors=section.num_actors,
        num_cpu_actors=section.num_cpu_actors,
        threads=section.threads,
    )


def recommender_config(config: Config) -> RecommenderConfig:
    """Return what decides the fit."""
    section = config.train
    on_gpu = resolve_device(config.score.device).startswith("cuda")
    return RecommenderConfig(
        history=HistoryWeights(sentiment_strength=section.sentiment_strength),
        candidates=CandidateConfig(num_candidates=section.num_candidates),
        towers=TwoTowerConfig(dim=section.dim or TwoTowerConfig.dim, attention=section.attention),
        training=TrainingConfig(epochs=section.epochs or TrainingConfig.epochs, seed=section.seed),
        ranker=RankerConfig(
            seed=section.seed,
            num_threads=config.score.threads,
            monotone=SATISFACTION_COUNTS if section.satisfaction_counts else {},
        ),
        index=IndexConfig(factory=section.index, gpu=on_gpu, tune=section.tune_index),
    )


def shop_wishes(config: Config) -> ShopWishes:
    """Return how the shop wants lists rearranged."""
    return ShopWishes(config=config.rerank.rerank_config(), rules=config.rerank.shop_rules())


def pipeline_config(config: Config) -> PipelineConfig:
    """Return everything the chain needs."""
    return PipelineConfig(
        score=score_config(config),
        recommender=recommender_config(config),
        gate_tolerance=config.publish.tolerance,
        pseudonyms=config.privacy.pseudonyms(),
        event_log=config.event_log.resolved(),
    )


def tower_trainer(
    config: Config, progress: Callable[[int, int], None] = lambda done, total: None
) -> TowerTrainer:
    """Return the Ray Train trainer that the file asks for."""
    section = config.train
    use_gpu = section.use_gpu
    if use_gpu is None:
        use_gpu = resolve_device(config.score.device).startswith("cuda")
    trainer = TrainerConfig(
        num_workers=section.num_workers,
        use_gpu=use_gpu,
        threads=config.score.threads,
        storage_path=section.storage_path,
    )
    return ray_tower_trainer(trainer, progress=progress)
