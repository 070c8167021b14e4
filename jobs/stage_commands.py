"""The commands of the pipeline's stages. Heavy imports wait until a command runs."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from jobs.config import Config, load_config
from jobs.errors import BadInputError
from jobs.options import (
    AsOfOption,
    ConfigOption,
    DeviceOption,
    JsonOption,
    StoreOption,
    WorkersOption,
    parse_moment,
)
from jobs.output import Output
from jobs.progress import StepBars

if TYPE_CHECKING:
    from features.pseudonyms import Pseudonyms
    from features.store import Store
    from sentiment.scorer import ReviewScorer


def score(
    store: StoreOption = None,
    device: DeviceOption = None,
    config: ConfigOption = None,
    json: JsonOption = None,
) -> None:
    """Score reviews that have no signals of this model version yet."""
    from dataclasses import asdict

    from jobs.score_reviews import score as score_reviews
    from jobs.settings import score_config

    settings, output = load_settings(config, device), Output(json)
    with StepBars() as bars:
        report = score_reviews(
            open_store(store, settings),
            score_config(settings),
            progress=lambda done, total: bars.step("score", done, total),
        )
    output.console.print(
        f"{report.scored:,} reviews scored, {report.copied:,} copied from reviews with the same "
        f"words, {report.unchanged:,} unchanged; {report.items:,} item texts; "
        f"model {report.model_version} in {report.precision}"
    )
    output.write_json(asdict(report))


def profiles(
    store: StoreOption = None,
    as_of: AsOfOption = None,
    describe: Annotated[
        bool, typer.Option("--describe", help="Say what the features mean; read nothing.")
    ] = False,
    since: Annotated[
        bool, typer.Option("--since", help="Sum up only what came in since the last build.")
    ] = False,
    config: ConfigOption = None,
    json: JsonOption = None,
) -> None:
    """Write user and item profiles, histories and quotes as of a time."""
    if describe:
        describe_features(Output(json))
        return
    from jobs.build_profiles import profiles as build_profiles

    output = Output(json)
    opened, version, moment, _ = open_scored(store, config, as_of)
    event_log = load_settings(config).event_log.resolved()
    report = build_profiles(opened, version=version, as_of=moment, since=since, event_log=event_log)
    for name, rows in report.rows.items():
        output.console.print(f"{name}: {rows:,} rows as of {report.as_of.isoformat()}")
    output.write_json({"as_of": report.as_of.isoformat(), "rows": report.rows})


def describe_features(output: Output) -> None:
    """Print what each declared feature means, of profiles and of a user and an item."""
    from features.behaviour import ITEM_BEHAVIOUR, USER_BEHAVIOUR
    from features.opinion import ITEM_OPINION, USER_OPINION
    from jobs.result_tables import features_table
    from recsys.pair_features import PAIR_FEATURES

    declared = (
        *USER_BEHAVIOUR,
        *USER_OPINION,
        *ITEM_BEHAVIOUR,
        *ITEM_OPINION,
        *PAIR_FEATURES,
    )
    described = [feature.described() for feature in declared]
    output.console.print(features_table(described))
    output.write_json({"features": described})


def train(
    store: StoreOption = None,
    as_of: AsOfOption = None,
    device: DeviceOption = None,
    workers: WorkersOption = None,
    tune_index: Annotated[
        bool, typer.Option("--tune-index", help="Search no more of the index than recall takes.")
    ] = False,
    config: ConfigOption = None,
    json: JsonOption = None,
) -> None:
    """Fit two-tower, index, sources and ranker, and write a bundle (not yet live)."""
    from jobs.newest_row import after_last_row
    from jobs.result_tables import metrics_table, quality_json
    from jobs.settings import recommender_config, score_config, tower_trainer
    from jobs.train_models import train as train_models
    from sentiment.scorer import model_version

    settings, output = load_settings(config, device, workers), Output(json)
    opened, now = open_store(store, settings), datetime.now(UTC)
    asked = recommender_config(settings)
    if tune_index:
        asked = replace(asked, index=replace(asked.index, tune=True))
    with StepBars() as bars:
        report = train_models(
            opened,
            asked,
            tower_trainer(settings, lambda done, total: bars.step("train two-tower", done, total)),
            version=model_version(score_config(settings).scorer),
            as_of=parse_moment(as_of) or after_last_row(opened, now),
            now=now,
            progress=bars.step,
        )
    output.console.print(metrics_table(report.manifest.metrics))
    output.console.print(f"bundle {report.folder}; `sentirec publish` makes it live")
    output.write_json(
        {"version": report.manifest.version, "data": report.manifest.data}
        | quality_json(report.manifest.metrics)
    )


def evaluate(
    interactions: Annotated[
        Path | None, typer.Option(help="Evaluate on this file, from scratch, instead of a store.")
    ] = None,
    items: Annotated[
        Path | None, typer.Option(help="Items or attributes of --interactions.")
    ] = None,
    reviews: Annotated[Path | None, typer.Option(help="Reviews of --interactions.")] = None,
    protocol: Annotated[str, typer.Option(help="leave-one-out or time-split.")] = "leave-one-out",
    split_at: Annotated[
        str | None, typer.Option(help="ISO 8601; first moment of the test part of a time split.")
    ] = None,
    store: StoreOption = None,
    device: DeviceOption = None,
    config: ConfigOption = None,
    json: JsonOption = None,
) -> None:
    """Measure sources, ranker and lists as shown beside popular and item-kNN; full ranking."""
    from jobs.evaluate_models import evaluate_files, evaluate_store
    from jobs.evaluation_tables import gains_line, shown_table, slices_tables
    from jobs.ray_session import ray_session
    from jobs.result_tables import metrics_table
    from jobs.settings import recommender_config, score_config, shop_wishes, tower_trainer
    from sentiment.scorer import model_version

    settings, output = load_settings(config, device), Output(json)
    if interactions is None and (items or reviews):
        raise BadInputError("--items and --reviews go with --interactions")
    with StepBars() as bars:
        trainer = tower_trainer(
            settings, lambda done, total: bars.step("train two-tower", done, total)
        )
        if interactions is not None:
            with ray_session():
                report = evaluate_files(
                    [path for path in (items, interactions, reviews) if path is not None],
                    score_config(settings),
                    recommender_config(settings),
                    lambda: trainer,
                    protocol=protocol,
                    split_at=parse_moment(split_at),
                    now=datetime.now(UTC),
                    wishes=shop_wishes(settings),
                    progress=bars.step,
                )
        else:
            report = evaluate_store(
                open_store(store, settings),
                recommender_config(settings),
                trainer,
                version=model_version(score_config(settings).scorer),
                protocol=protocol,
                split_at=parse_moment(split_at),
                wishes=shop_wishes(settings),
                progress=bars.step,
            )
    output.console.print(metrics_table(report.metrics, report.shown))
    for told in (*shown_table(report), *slices_tables(report), gains_line(report)):
        output.console.print(told)
    output.console.print(
        f"{report.protocol}: {report.num_test_users:,} test users, {report.num_items:,} items, "
        f"{report.num_interactions:,} interactions"
    )
    output.write_json(report.to_dict())


def publish(
    version: Annotated[str | None, typer.Argument(help="Which bundle; default: newest.")] = None,
    rollback: Annotated[bool, typer.Option("--rollback", help="Back to the one before.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Even where the gate refuses.")] = False,
    store: StoreOption = None,
    config: ConfigOption = None,
    json: JsonOption = None,
) -> None:
    """Make a bundle live if it passes its gate, or go back to the one before."""
    from jobs.publish_bundle import publish as publish_bundle
    from jobs.publish_bundle import roll_back

    settings, output = load_settings(config), Output(json)
    opened = open_store(store, settings)
    if rollback:
        if version is not None:
            raise BadInputError("--rollback takes no version: it goes to the one before")
        live = roll_back(opened)
    else:
        tolerance = settings.publish.tolerance
        live = publish_bundle(opened, version, tolerance=tolerance, force=force).version
    output.console.print(f"live: {live}")
    output.write_json({"live": live})


def run(
    files: Annotated[list[Path] | None, typer.Argument(help="New source files, if any.")] = None,
    store: StoreOption = None,
    format: Annotated[
        str | None, typer.Option("--format", help="Format of the files; default: found out.")
    ] = None,
    as_of: AsOfOption = None,
    device: DeviceOption = None,
    workers: WorkersOption = None,
    config: ConfigOption = None,
    json: JsonOption = None,
) -> None:
    """Chain it all: ingest, score, profiles, train, gate, publish; only what is new."""
    from jobs.ray_session import ray_session
    from jobs.result_tables import metrics_table, pipeline_json, timings_table
    from jobs.run_pipeline import run as run_pipeline
    from jobs.settings import pipeline_config, tower_trainer

    settings, output = load_settings(config, device, workers), Output(json)
    with StepBars() as bars, ray_session():
        report = run_pipeline(
            open_store(store, settings),
            files or [],
            pipeline_config(settings),
            lambda progress: tower_trainer(settings, progress),
            format=format or settings.ingest.format,
            as_of=parse_moment(as_of),
            now=datetime.now(UTC),
            progress=bars.step,
        )
    if report.train is None:
        output.console.print("nothing new: no model was trained")
    else:
        output.console.print(metrics_table(report.train.manifest.metrics))
    if report.published is not None:
        output.console.print(f"live: {report.published.version}")
    output.console.print(timings_table(report.timings_s))
    output.write_json(pipeline_json(report))


def load_settings(
    config: Path | None, device: str | None = None, workers: int | None = None
) -> Config:
    """Read the configuration file; what the command line says wins."""
    settings = load_config(config)
    if device is not None:
        section = settings.score.model_copy(update={"device": device})
        settings = settings.model_copy(update={"score": section})
    if workers is not None:
        section = settings.train.model_copy(update={"num_workers": workers})
        settings = settings.model_copy(update={"train": section})
    return settings


def open_store(store: str | None, settings: Config) -> "Store":
    """Open the store of the command line, or of the configuration file.

    Raises:
        StoreError: If it holds pseudonyms and their key is not given, or is another.
    """
    from features.pseudonyms import check
    from features.store import Store

    opened = Store(store or settings.store.path)
    check(opened, settings.privacy.pseudonyms())
    return opened


class Opened(NamedTuple):
    """A store, the version of its signals, the moment asked about, and who names its users."""

    store: "Store"
    version: str
    as_of: datetime
    pseudonyms: "Pseudonyms | None"

    def name_of(self, user_id: str) -> str:
        """Return the name under which the store knows a user."""
        return user_id if self.pseudonyms is None else self.pseudonyms.of(user_id)


def open_scored(store: str | None, config: Path | None, as_of: str | None) -> Opened:
    """Open a store whose reviews are scored; see `open_store`."""
    from jobs.newest_row import after_last_row
    from jobs.settings import score_config
    from sentiment.scorer import model_version

    settings = load_settings(config)
    opened = open_store(store, settings)
    moment = parse_moment(as_of) or after_last_row(opened, datetime.now(UTC))
    version = model_version(score_config(settings).scorer)
    return Opened(opened, version, moment, settings.privacy.pseudonyms())


def load_scorer(device: str | None, config: Path | None) -> "ReviewScorer":
    """Load the scorer of the command line and the configuration file."""
    from jobs.settings import score_config
    from sentiment.scorer import ReviewScorer

    settings = score_config(load_settings(config, device))
    if settings.scorer.device == "cpu":
        from sentiment.torch_threads import use_threads

        use_threads(settings.threads)
    return ReviewScorer.load(settings.scorer)
