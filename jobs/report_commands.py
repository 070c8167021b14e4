"""`sentirec report`: pages on satisfaction, brands, trends and needs, one file each."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.errors import BadInputError
from jobs.options import AsOfOption, ConfigOption, DeviceOption, JsonOption, StoreOption
from jobs.output import Output

if TYPE_CHECKING:
    from features.visibility import Visible
    from recsys.world import ShopTables

app = typer.Typer(
    no_args_is_help=True, help="Write one self-contained HTML page: no script, no network."
)
OutOption = Annotated[Path, typer.Option("--out", help="HTML file to write.")]
PeriodOption = Annotated[str, typer.Option(help="week, month, quarter or year.")]


@app.command()
def satisfaction(
    out: OutOption = Path("satisfaction.html"),
    period: PeriodOption = "month",
    store: StoreOption = None,
    as_of: AsOfOption = None,
    config: ConfigOption = None,
    json: JsonOption = None,
) -> None:
    """How satisfied buyers are, by brand, category, aspect and period, with intervals."""
    from jobs.brand_reports import satisfaction_figures
    from jobs.write_brand_reports import satisfaction_json, satisfaction_report

    _check_period(period)
    output, (shop, visible) = _opened(out, json, store, as_of, config)
    found = satisfaction_figures(shop, visible, period=period)
    _write(output, out, satisfaction_report(found), satisfaction_json(found))


@app.command()
def brand(
    out: OutOption = Path("brand.html"),
    period: PeriodOption = "month",
    store: StoreOption = None,
    as_of: AsOfOption = None,
    config: ConfigOption = None,
    json: JsonOption = None,
) -> None:
    """How much is said of each brand, how well, and what is complained of."""
    from jobs.brand_reports import brand_figures
    from jobs.write_brand_reports import brand_json, brand_report

    _check_period(period)
    output, (shop, visible) = _opened(out, json, store, as_of, config)
    found = brand_figures(shop, visible, period=period)
    _write(output, out, brand_report(found), brand_json(found))


@app.command()
def trends(
    out: OutOption = Path("trends.html"),
    store: StoreOption = None,
    as_of: AsOfOption = None,
    config: ConfigOption = None,
    json: JsonOption = None,
) -> None:
    """What rises and falls, in purchases and in words, and the next weeks of each category."""
    from jobs.trend_reports import trend_figures
    from jobs.write_trend_reports import trend_json, trend_report

    output, (shop, visible) = _opened(out, json, store, as_of, config)
    found = trend_figures(shop, visible)
    _write(output, out, trend_report(found), trend_json(found))


@app.command()
def needs(
    out: OutOption = Path("needs.html"),
    store: StoreOption = None,
    as_of: AsOfOption = None,
    device: DeviceOption = None,
    config: ConfigOption = None,
    json: JsonOption = None,
) -> None:
    """What buyers miss: needs of one meaning gathered, counted by people, and quoted."""
    from jobs.stage_commands import load_scorer
    from jobs.trend_reports import needs_figures
    from jobs.write_trend_reports import needs_json, needs_report

    output, (shop, visible) = _opened(out, json, store, as_of, config)
    scorer = load_scorer(device, config)
    found = needs_figures(shop, visible, lambda texts: scorer.score(texts)["embedding"].to_numpy())
    _write(output, out, needs_report(found), needs_json(found))


def _check_period(period: str) -> None:
    from features.satisfaction_index import PERIODS

    if period not in PERIODS:
        raise BadInputError(f"--period is one of {', '.join(PERIODS)}, not {period!r}")


def _opened(
    out: Path, json: str | None, store: str | None, as_of: str | None, config: Path | None
) -> "tuple[Output, tuple[ShopTables, Visible]]":
    from features.visibility import everything
    from jobs.load_shop import load_shop
    from jobs.stage_commands import open_scored
    from jobs.whole_files import check_folder

    check_folder(out)
    output = Output(json)
    opened, version, until, _ = open_scored(store, config, as_of)
    shop = load_shop(opened, version)
    return output, (shop, everything(shop.events, shop.reviews, as_of=until))


def _write(output: Output, out: Path, content: str, figures: dict[str, Any]) -> None:
    from jobs.analyze_abtest import plain
    from jobs.whole_files import write_whole

    write_whole(out, content)
    output.console.print(f"report: {out}", highlight=False)
    output.write_json(plain(figures))
