"""`sentirec satisfaction`: how satisfied buyers are with brands, items, aspects, month by month."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.errors import BadInputError
from jobs.options import AsOfOption, ConfigOption, JsonOption, StoreOption
from jobs.output import Output

if TYPE_CHECKING:
    import polars as pl
    from rich.table import Table


def satisfaction(
    by: Annotated[
        list[str],
        typer.Option(
            help="item_id, brand, category, aspect, country, language or period; may be repeated."
        ),
    ] = ["brand"],  # noqa: B006  # Typer takes no tuple here.
    period: Annotated[
        str, typer.Option(help="What `--by period` is cut to: week, month, quarter or year.")
    ] = "month",
    show: Annotated[int, typer.Option(min=1, help="Groups shown, the least satisfied first.")] = 20,
    csv: Annotated[Path | None, typer.Option(help="Also write all groups to this file.")] = None,
    store: StoreOption = None,
    as_of: AsOfOption = None,
    config: ConfigOption = None,
    json: JsonOption = None,
) -> None:
    """Compare how satisfied buyers are, 0 to 100, with intervals; small groups are marked."""
    from features.satisfaction_index import SatisfactionConfig, satisfaction_index
    from features.visibility import everything
    from jobs.csv_cells import escape_formulas
    from jobs.load_shop import load_shop
    from jobs.stage_commands import open_scored
    from jobs.whole_files import write_whole

    output = Output(json)
    opened, version, until, _ = open_scored(store, config, as_of)
    shop = load_shop(opened, version)
    users = opened.scan("users") if opened.exists("users") else None
    try:
        index = satisfaction_index(
            shop.items.lazy(),
            everything(shop.events, shop.reviews, as_of=until),
            shop.signals.lazy(),
            by=by,
            users=users,
            config=SatisfactionConfig(period=period),
        )
    except ValueError as error:
        raise BadInputError(str(error)) from error
    output.console.print(_table(index, show))
    if csv is not None:
        import polars.selectors as cs

        texts = index.select(cs.string()).columns
        write_whole(csv, index.with_columns(map(escape_formulas, texts)).write_csv())
        output.console.print(f"{len(index):,} groups written to {csv}")
    output.write_json({"as_of": until.isoformat(), "groups": _json_rows(index)})


def _table(index: "pl.DataFrame", show: int) -> "Table":
    from rich.table import Table

    table = Table(title=f"satisfaction, 0 to 100: {min(show, len(index)):,} of {len(index):,}")
    keys = index.columns[: index.columns.index("num_opinions")]
    for key in keys:
        table.add_column(key, overflow="fold")
    for name in ("opinions", "purchases", "stars", "returned", "satisfaction", "95%", ""):
        table.add_column(name, justify="right", no_wrap=True)
    for row in index.sort("satisfaction", *keys).head(show).iter_rows(named=True):
        shown = (row[key] for key in keys)
        table.add_row(
            *(f"{key:%Y-%m-%d}" if isinstance(key, datetime) else str(key) for key in shown),
            f"{row['num_opinions']:,}",
            f"{row['num_purchases']:,}",
            _number(row["stars_mean"], ".2f"),
            _number(row["return_rate"], ".1%"),
            _number(row["satisfaction"], ".1f"),
            "..".join(_number(row[f"satisfaction_{end}"], ".1f") for end in ("low", "high")),
            "small" if row["is_small"] else "",
        )
    return table


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _json_rows(index: "pl.DataFrame") -> list[dict]:
    import polars.selectors as cs

    return index.with_columns(cs.datetime().dt.strftime("%Y-%m-%dT%H:%M:%SZ")).to_dicts()
