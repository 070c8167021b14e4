"""The command `sentirec abtest campaign`: did a promotion sell more, and leave people content."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.analyze_abtest_command import OutcomesOption
from jobs.errors import BadInputError
from jobs.options import ConfigOption, JsonOption, StoreOption
from jobs.output import Output

if TYPE_CHECKING:
    import polars as pl


def campaign(
    plan: Annotated[
        Path, typer.Option("--plan", help="The plan of the campaign, a TOML file.")
    ] = Path("campaign.toml"),
    treated: Annotated[
        Path | None,
        typer.Option("--treated", help="File of treated units, one a line, beside those named."),
    ] = None,
    outcomes: OutcomesOption = None,
    store: StoreOption = None,
    out: Annotated[Path | None, typer.Option("--out", help="HTML report to write.")] = None,
    config: ConfigOption = None,
    json: JsonOption = None,
) -> None:
    """Measure a campaign: exit code 0 it worked, 3 it did not, 4 not decidable.

    Units that were promoted are compared with others over time, by difference-in-differences with a
    test of trends before, or with a synthetic control and placebos.
    """
    import polars as pl

    from jobs.analyze_abtest import EXIT_CODES
    from jobs.whole_files import check_folder
    from jobs.write_campaign_report import campaign_json, write_campaign_report
    from recsys.abtest.campaign import analyse_campaign
    from recsys.abtest.campaign_plan import parse_campaign

    if out is not None:
        check_folder(out)
    output = Output(json)
    opened = parse_campaign(_read(plan), source=str(plan))
    if treated is not None:
        named = {line.strip() for line in _read(treated).splitlines() if line.strip()}
        content = opened.model_dump(mode="json")
        everything = sorted({*opened.treated, *named})
        opened = type(opened).model_validate(content | {"treated": everything})
    try:
        found = analyse_campaign(opened, _outcomes(outcomes, store, config, opened.unit))
    except pl.exceptions.PolarsError as error:
        raise BadInputError(f"the log cannot be read: {error}") from error
    if out is not None:
        write_campaign_report(out, found)
    output.console.print(f"[bold]{found.decision}[/bold]: {opened.name}", highlight=False)
    for reason in found.reasons:
        output.console.print(f"  {reason}", markup=False, highlight=False)
    if found.sales is not None:
        output.console.print(
            f"incremental {opened.event} {opened.value}: {found.sales.total:+,.5g} "
            f"({found.sales.total_low:+,.5g} to {found.sales.total_high:+,.5g})",
            highlight=False,
        )
    output.write_json(campaign_json(found))
    raise typer.Exit(EXIT_CODES[found.decision])


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"cannot read {path}: {error}") from error


def _outcomes(
    outcomes: Path | None, store: str | None, config: Path | None, unit: str
) -> "pl.LazyFrame":
    from jobs.scan_abtest_logs import scan_file, scan_store
    from recsys.abtest import outcomes as outcome_sums

    if outcomes is not None:
        if store is not None:
            raise BadInputError("give --store, or --outcomes, not both")
        return scan_file(outcomes, (*outcome_sums.WANTED, unit))
    from jobs.settings import score_config
    from jobs.stage_commands import load_settings, open_store
    from sentiment.scorer import model_version

    settings = load_settings(config)
    version = model_version(score_config(settings).scorer)
    opened = open_store(store, settings)
    return scan_store(opened, model_version=version, with_exposures=False).outcomes
