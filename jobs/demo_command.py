"""The command `sentirec demo`: the whole product on a sample shop, or on real reviews."""

from pathlib import Path
from typing import Annotated

import typer

from jobs.errors import BadInputError
from jobs.options import ConfigOption, DeviceOption, JsonOption
from jobs.output import Output
from jobs.progress import StepBars
from jobs.stage_commands import load_settings

DEFAULT_FOLDER = Path("runs/demo")


def demo(
    reviews: Annotated[
        Path | None, typer.Option(help="A file of real reviews instead of the sample shop.")
    ] = None,
    shop_seed: Annotated[int, typer.Option(help="Seed of the sample shop.")] = 7,
    sentiment_effect: Annotated[
        float, typer.Option(help="How much felt experience matters in the sample shop; 0: nothing.")
    ] = 1.0,
    folder: Annotated[
        Path, typer.Option(help="Where the demo works; emptied first if it is a demo's.")
    ] = DEFAULT_FOLDER,
    port: Annotated[int, typer.Option(help="Port of the endpoint; 0 takes a free one.")] = 0,
    device: DeviceOption = None,
    config: ConfigOption = None,
    json: JsonOption = None,
) -> None:
    """Run everything: make or read a shop, train, publish, serve, and ask for one user."""
    from jobs.result_tables import metrics_table, sentiment_line, timings_table
    from jobs.run_demo import DemoConfig, recommendation_table, run_demo

    output = Output(json)
    settings = load_settings(config, device)
    if settings.privacy.pseudonymise:
        raise BadInputError("the demo shows a shop of plain ids: leave out [privacy] pseudonymise")
    if settings.event_log.resolved() is not None:
        # Else it would take what users of the real shop did, and leave the shop without it.
        raise BadInputError(
            "the demo has an event log of its own: leave out [event_log] address, and unset "
            "SENTIREC_EVENT_LOG"
        )
    with StepBars() as bars:
        result = run_demo(
            DemoConfig(
                folder=folder,
                reviews=reviews,
                shop_seed=shop_seed,
                sentiment_effect=sentiment_effect,
                port=port,
            ),
            settings,
            progress=bars.step,
        )
    output.console.print(metrics_table(result.content["metrics"]))
    output.console.print(sentiment_line(result.content["data"].get("sentiment_gain")))
    output.console.print(recommendation_table(result.content["recommendation"]))
    output.console.print(timings_table(result.content["timings_s"]))
    output.console.print(f"report: {result.report}", highlight=False)
    output.write_json(result.content)
