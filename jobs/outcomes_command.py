"""`sentirec outcomes`: who will buy, who will stay away, what customers are worth."""

from dataclasses import asdict
from typing import Annotated

import typer

from jobs.options import AsOfOption, ConfigOption, JsonOption, StoreOption
from jobs.output import Output


def outcomes(
    horizon_days: Annotated[int, typer.Option(min=1, help="How many days ahead.")] = 30,
    store: StoreOption = None,
    as_of: AsOfOption = None,
    config: ConfigOption = None,
    json: JsonOption = None,
) -> None:
    """Write how likely users buy, churn and will be satisfied, and their value, and test that."""
    from jobs.predict_outcomes import SATISFACTION_TABLE, TABLE
    from jobs.predict_outcomes import outcomes as predict
    from jobs.result_tables import outcome_table
    from jobs.stage_commands import open_scored

    output = Output(json)
    opened, version, moment, _ = open_scored(store, config, as_of)
    report = predict(opened, version=version, as_of=moment, horizon_days=horizon_days)
    for outcome, test in report.back_tests.items():
        if test is None:
            output.console.print(f"{outcome}: too little past to test it on")
        else:
            output.console.print(outcome_table(report.told[outcome], test))
    for note in report.notes:
        output.console.print(f"not told: {note}")
    for table, rows in ((TABLE, report.rows), (SATISFACTION_TABLE, report.satisfaction_rows)):
        output.console.print(f"{table}: {rows:,} rows as of {report.as_of.isoformat()}")
    output.write_json(asdict(report) | {"as_of": report.as_of.isoformat()})
