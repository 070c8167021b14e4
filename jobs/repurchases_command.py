"""`sentirec repurchases`: what customers are about to need again."""

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from jobs.options import AsOfOption, ConfigOption, JsonOption, StoreOption, parse_moment
from jobs.output import Output


def repurchases(
    horizon_days: Annotated[
        float, typer.Option(min=1, max=3650, help="Within how many days it is wanted again.")
    ] = 30.0,
    store: StoreOption = None,
    as_of: AsOfOption = None,
    config: ConfigOption = None,
    json: JsonOption = None,
) -> None:
    """Write what each customer is about to need again, and test it on the past."""
    from jobs.evaluation_tables import repurchases_table
    from jobs.foresee_repurchases import TABLE
    from jobs.foresee_repurchases import repurchases as foresee
    from jobs.newest_row import after_last_row
    from jobs.stage_commands import load_settings, open_store
    from recsys.repurchase import RepurchaseConfig

    output = Output(json)
    opened = open_store(store, load_settings(config))
    moment = parse_moment(as_of) or after_last_row(opened, datetime.now(UTC))
    asked = RepurchaseConfig(horizon_days=horizon_days)
    report = foresee(opened, as_of=moment, config=asked)
    if report.back_test is None:
        output.console.print(
            f"nobody bought anything again in the last {horizon_days:g} days: nothing to test on"
        )
    else:
        output.console.print(repurchases_table(report.back_test))
    if len(report.most):
        output.console.print(_most_table(report.most.rows(), horizon_days))
    output.console.print(
        f"{TABLE}: {report.rows:,} rows of {report.users:,} customers and {report.items:,} items "
        f"as of {report.as_of.isoformat()}"
    )
    told = {name: value for name, value in vars(report).items() if name != "most"}
    output.write_json(told | {"as_of": report.as_of.isoformat(), "most": report.most.to_dicts()})


def _most_table(rows: list[tuple], horizon_days: float) -> Table:
    table = Table(title=f"expected to be bought again within {horizon_days:g} days")
    table.add_column("item", no_wrap=True)
    table.add_column("title", overflow="fold")
    table.add_column("customers", justify="right")
    table.add_column("purchases", justify="right")
    for item_id, title, users, expected in rows:
        table.add_row(item_id, title or "", f"{users:,}", f"{expected:.1f}")
    return table
