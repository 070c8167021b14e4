"""The command `sentirec abtest analyze`: a verdict from plan and logs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.errors import BadInputError
from jobs.options import ConfigOption, JsonOption, StoreOption, parse_moment
from jobs.output import Output

if TYPE_CHECKING:
    from jobs.scan_abtest_logs import AbtestLogs
    from recsys.abtest.analysis import Analysis

PlanOption = Annotated[Path, typer.Option("--plan", help="The plan, a TOML file.")]
ExposuresOption = Annotated[
    Path | None,
    typer.Option(
        "--exposures", help="Log of exposures: .csv, .csv.gz, .parquet, or a Delta table."
    ),
]
OutcomesOption = Annotated[
    Path | None,
    typer.Option("--outcomes", help="Log of outcomes: .csv, .csv.gz, .parquet, or a Delta table."),
]


def analyze(
    plan: PlanOption = Path("abtest.toml"),
    exposures: ExposuresOption = None,
    outcomes: OutcomesOption = None,
    store: StoreOption = None,
    out: Annotated[Path | None, typer.Option("--out", help="HTML report to write.")] = None,
    as_of: Annotated[
        str | None,
        typer.Option(
            "--as-of",
            help="ISO 8601; rows at or after it are not used. Default: midnight after the newest.",
        ),
    ] = None,
    explore: Annotated[
        list[str] | None,
        typer.Option("--explore", help="Column of exposures in which to look for heterogeneity."),
    ] = None,
    shards: Annotated[
        int | None,
        typer.Option(
            "--shards",
            min=1,
            max=1000,
            help="Cut users into so many shards, tasks of Ray; 1 reads all at once without Ray. "
            "Default: by the number of rows. The result is the same.",
        ),
    ] = None,
    scratch: Annotated[
        Path | None,
        typer.Option(
            "--scratch",
            help="Folder for shards while the command runs; a cluster needs one that all its "
            "machines see. Default: the system's temporary folder.",
        ),
    ] = None,
    config: ConfigOption = None,
    json: JsonOption = None,
) -> None:
    """Decide an experiment: exit code 0 ship, 3 do not ship, 4 not decidable.

    Logs are the tables of a store, or two files. That the data were looked at is recorded beside
    the plan, in its `.lock.json`; a look that the plan does not allow is refused.
    """
    from jobs.analyze_abtest import EXIT_CODES, analysis_json
    from jobs.analyze_abtest import analyze as analyze_logs
    from jobs.lock_abtest_plan import read_plan
    from jobs.whole_files import check_folder
    from jobs.write_abtest_report import write_abtest_report

    if out is not None:
        check_folder(out)
    output = Output(json)
    found = analyze_logs(
        read_plan(plan),
        plan,
        open_logs(exposures, outcomes, store, config),
        as_of=parse_moment(as_of),
        explored=explore,
        num_shards=shards,
        scratch=scratch,
    )
    if out is not None:
        write_abtest_report(out, found)
    print_analysis(output, found)
    output.write_json(analysis_json(found))
    raise typer.Exit(EXIT_CODES[found.verdict.decision])


def open_logs(
    exposures: Path | None, outcomes: Path | None, store: str | None, config: Path | None
) -> "AbtestLogs":
    """Open the logs of the command line: two files, a store, or exposures and a store's outcomes.

    Raises:
        BadInputError: Outcomes without exposures, or both files and a store.
        StoreError: The store lacks a table.
    """
    from jobs.scan_abtest_logs import AbtestLogs, scan_file, scan_store
    from recsys.abtest import enrolment
    from recsys.abtest import outcomes as outcome_sums

    if exposures is None and outcomes is not None:
        raise BadInputError("--outcomes goes with --exposures; or give --store")
    if exposures is not None and outcomes is not None:
        if store is not None:
            raise BadInputError("give --store, or --exposures and --outcomes, not both")
        return AbtestLogs(
            scan_file(exposures, enrolment.WANTED), scan_file(outcomes, outcome_sums.WANTED)
        )
    from jobs.settings import score_config
    from jobs.stage_commands import load_settings, open_store
    from sentiment.scorer import model_version

    settings = load_settings(config)
    version = model_version(score_config(settings).scorer)
    found = scan_store(
        open_store(store, settings), model_version=version, with_exposures=exposures is None
    )
    if exposures is None:
        return found
    return found._replace(exposures=scan_file(exposures, enrolment.WANTED))


def print_analysis(output: Output, found: "Analysis") -> None:
    """Print verdict, effects, and the gates that do not simply pass."""
    from rich.table import Table

    from recsys.abtest.verdict import interval_words

    console = output.console
    console.print(f"[bold]{found.verdict.decision}[/bold]: {found.plan.name}", highlight=False)
    for reason in found.verdict.reasons:
        console.print(f"  {reason}", markup=False, highlight=False)
    if found.metrics:
        table = Table(title="effects")
        table.add_column("metric")
        table.add_column("role")
        table.add_column("effect", justify="right")
        table.add_column("p", justify="right")
        for m in found.metrics:
            effect = "not told" if m.tested is None else interval_words(m.tested, m.metric)
            p_value = "" if m.tested is None else f"{m.tested.p_value:.4g}"
            table.add_row(m.metric.name, m.metric.role, effect, p_value)
        console.print(table)
    for gate in found.gates:
        if gate.status == "warn":
            console.print(f"note, {gate.name}: {gate.message}", markup=False, highlight=False)
