"""`sentirec alerts`: what goes wrong with items, brands and categories, and who has seen it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.errors import BadInputError
from jobs.options import AsOfOption, ConfigOption, JsonOption, StoreOption, parse_moment
from jobs.output import Output

if TYPE_CHECKING:
    import polars as pl
    from rich.table import Table

    from features.store import Store
    from jobs.alerts_section import AlertsSection
    from recsys.alerts.lifecycle import Alert

app = typer.Typer(
    no_args_is_help=True, help="Find rises of negative reviews that are real, and see to them."
)
AlertIds = Annotated[list[str], typer.Argument(help="Ids of alerts.", metavar="ALERT...")]
ByOption = Annotated[str, typer.Option("--by", help="Who says so.")]
NoteOption = Annotated[str | None, typer.Option("--note", help="Why, in words.")]


@app.command()
def detect(
    store: StoreOption = None,
    as_of: AsOfOption = None,
    days: Annotated[
        int, typer.Option(min=1, help="Also look at the days before, as if one had looked daily.")
    ] = 1,
    config: ConfigOption = None,
    json: JsonOption = None,
) -> None:
    """Look at everything once, open and close alerts, and tell those who want to know.

    To be run every day; the same day again changes nothing.
    """
    from jobs.alert_looks import day_before, days_to_look_at
    from jobs.alerts_tables import LOCK, read_table
    from jobs.deliver_alerts import deliver, sinks_of
    from jobs.detect_alerts import detect_in, load_tables
    from jobs.stage_commands import load_settings, open_scored

    output, asked = Output(json), parse_moment(as_of)
    if asked is not None and asked > datetime.now(UTC):
        raise BadInputError(f"--as-of {as_of} is not over yet: later days could not be looked at")
    if asked is not None and asked != asked.replace(hour=0, minute=0, second=0, microsecond=0):
        raise BadInputError(f"--as-of {as_of} is within a day: whole days are looked at")
    opened, version, moment, _ = open_scored(store, config, as_of)
    section = load_settings(config).alerts
    with opened.lock(LOCK):
        tables = load_tables(opened, version)
        reports = [
            detect_in(
                opened, tables, day=day, config=section.alert_config(), demotion=section.demotion
            )
            for day in days_to_look_at(opened, day_before(moment), days)
        ]
    told = deliver(opened, sinks_of(section), with_quotes=section.quotes_in_messages)
    last = reports[-1]
    output.console.print(_alerts_table(last.alerts, "alerts"))
    changes = [change for report in reports for change in report.changes]
    subjects = ", ".join(f"{count:,} of scope {name}" for name, count in last.num_subjects.items())
    output.console.print(
        f"{len(reports)} looks at {subjects}; {len(changes)} changes; "
        f"{told.sent} messages sent, {told.failed} kept for the next run",
        highlight=False,
    )
    for error in told.errors:
        output.console.print(f"  {error}", markup=False, highlight=False)
    quotes = read_table(opened, "alert_quotes")
    output.write_json(
        {
            "as_of": moment.isoformat(),
            "looks": len(reports),
            "num_subjects": last.num_subjects,
            "changes": [vars(change) for change in changes],
            "alerts": [_json_of(alert, quotes) for alert in last.alerts],
            "deliveries": vars(told),
        }
    )


@app.command("list")
def list_alerts(
    state: Annotated[
        list[str] | None, typer.Option(help="open, acknowledged or resolved; may be repeated.")
    ] = None,
    quotes: Annotated[bool, typer.Option("--quotes", help="Also show what buyers said.")] = False,
    store: StoreOption = None,
    config: ConfigOption = None,
    json: JsonOption = None,
) -> None:
    """Show alerts; those that stand, unless states are named."""
    from features.alert_tables import ACKNOWLEDGED, OPEN, STATES
    from jobs.alerts_tables import read_alerts, read_table

    output, (opened, _) = Output(json), _open(store, config)
    wanted = state or [OPEN, ACKNOWLEDGED]
    unknown = [name for name in wanted if name not in STATES]
    if unknown:
        raise BadInputError(
            f"there is no state {', '.join(unknown)}; states are {', '.join(STATES)}"
        )
    alerts = [alert for alert in read_alerts(opened).values() if alert["state"] in wanted]
    said = read_table(opened, "alert_quotes")
    output.console.print(_alerts_table(alerts, ", ".join(wanted)))
    for alert in alerts if quotes else []:
        output.console.print(f"{alert['alert_id']} {alert['key']}", markup=False, highlight=False)
        for row in said.filter(alert_id=alert["alert_id"]).iter_rows(named=True):
            output.console.print(f"  “{row['quote']}”", markup=False, highlight=False)
    output.write_json({"alerts": [_json_of(alert, said) for alert in alerts]})


@app.command()
def acknowledge(
    alerts: AlertIds,
    by: ByOption,
    note: NoteOption = None,
    store: StoreOption = None,
    config: ConfigOption = None,
    json: JsonOption = None,
) -> None:
    """Say that somebody sees to alerts; their items stay demoted until they recover."""
    from features.alert_tables import ACKNOWLEDGED

    _change(alerts, ACKNOWLEDGED, by, note, store, config, json)


@app.command()
def resolve(
    alerts: AlertIds,
    by: ByOption,
    note: NoteOption = None,
    store: StoreOption = None,
    config: ConfigOption = None,
    json: JsonOption = None,
) -> None:
    """Close alerts; what was said until now is not held against their subjects again."""
    from features.alert_tables import RESOLVED

    _change(alerts, RESOLVED, by, note, store, config, json)


def _change(
    alerts: list[str],
    state: str,
    by: str,
    note: str | None,
    store: str | None,
    config: Path | None,
    json: str | None,
) -> None:
    from jobs.alerts_tables import change_alerts, read_table
    from jobs.deliver_alerts import deliver, sinks_of

    output, (opened, section) = Output(json), _open(store, config)
    last = read_table(opened, "alert_looks")["day"].max()
    if not isinstance(last, int):
        raise BadInputError("nothing was looked at yet: run `sentirec alerts detect` first")
    changes = change_alerts(
        opened,
        list(dict.fromkeys(alerts)),
        state,
        day=last,
        by=by,
        note=note,
        demotion=section.demotion,
    )
    told = deliver(opened, sinks_of(section), with_quotes=section.quotes_in_messages)
    output.console.print(f"{len(changes)} of {len(set(alerts))} alerts changed to {state}")
    for error in told.errors:
        output.console.print(f"  {error}", markup=False, highlight=False)
    output.write_json({"changes": [vars(change) for change in changes], "deliveries": vars(told)})


def _open(store: str | None, config: Path | None) -> "tuple[Store, AlertsSection]":
    from jobs.stage_commands import load_settings, open_store

    settings = load_settings(config)
    return open_store(store, settings), settings.alerts


def _alerts_table(alerts: "list[Alert]", title: str) -> "Table":
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=f"{title}: {len(alerts):,}")
    table.add_column("alert", no_wrap=True)
    for name in ("of", "aspect", "kind", "state"):
        table.add_column(name, overflow="fold")
    for name in ("since", "negative", "usual", "q", "buyers"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("to do", min_width=16, overflow="fold")
    for alert in sorted(alerts, key=lambda row: (row["scope"] != "item", row["q_value"])):
        table.add_row(
            alert["alert_id"],
            escape(f"{alert['scope']} {alert['key']}"),
            escape(alert["aspect"] or "all"),
            alert["kind"].replace("_", " "),
            alert["state"],
            f"{alert['onset']:%Y-%m-%d}",
            f"{alert['num_negative']:,} of {alert['num_reviews']:,}",
            f"{alert['share_before']:.0%}",
            f"{alert['q_value']:.2g}",
            f"{alert['num_buyers']:,}",
            alert["action"].replace("_", " "),
        )
    return table


def _json_of(alert: "Alert", quotes: "pl.DataFrame") -> dict:
    from jobs.deliver_alerts import message_of

    change = {"state": alert["state"], "number": alert["num_changes"], "by": "", "note": None}
    told = message_of(alert, change, quotes)
    return told["alert"] | {"quotes": told["quotes"]}
