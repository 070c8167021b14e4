"""`sentirec user`: one user as the profiles see them."""

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from jobs.options import ConfigOption, JsonOption, StoreOption
from jobs.output import Output
from jobs.privacy_commands import plain_json

if TYPE_CHECKING:
    from rich.table import Table

    from features.user_card import UserCard


def user(
    user_id: Annotated[str, typer.Argument(help="Id of the user.", metavar="USER")],
    store: StoreOption = None,
    config: ConfigOption = None,
    json: JsonOption = None,
) -> None:
    """Show one user's profile: features, favourites, what they care about, in their own words."""
    from dataclasses import asdict

    from features.user_card import user_card
    from jobs.stage_commands import open_scored

    output = Output(json)
    opened = open_scored(store, config, None)
    card = user_card(opened.store, opened.name_of(user_id), version=opened.version)
    output.console.print(_features(user_id, card))
    output.console.print(_affinities(card))
    output.console.print(_aspects(card))
    output.write_json({"user_id": user_id, **plain_json(asdict(card))})


def _features(user_id: str, card: "UserCard") -> "Table":
    from rich.table import Table

    from features.behaviour import USER_BEHAVIOUR
    from features.opinion import USER_OPINION

    title = f"{escape(user_id)} as of {card.profile['as_of'].isoformat()}"
    table = Table("feature", "value", "unit", "meaning", title=title)
    for feature in (*USER_BEHAVIOUR, *USER_OPINION):
        value = card.profile[feature.name]
        if value is not None and value != feature.default:
            table.add_row(feature.name, _shown(value), feature.unit, feature.meaning)
    return table


def _affinities(card: "UserCard") -> "Table":
    from rich.table import Table

    table = Table("turns to", "share of it", title="affinities")
    for kind, values in card.affinities.items():
        shares = [f"{value} {share:.0%}" for value, share in values.items()]
        if shares:
            table.add_row(kind, escape(", ".join(shares)))
    return table


def _aspects(card: "UserCard") -> "Table":
    from rich.table import Table

    table = Table(title="aspects, those written about more than others do first")
    for name in ("aspect", "in reviews", "emphasis", "stricter by", "polarity"):
        table.add_column(name, justify="left" if name == "aspect" else "right", no_wrap=True)
    table.add_column("in their words", overflow="fold")
    for row in card.aspects:
        table.add_row(
            escape(row["aspect"]),
            f"{row['num_mentions']} of {row['num_reviews']}",
            f"{row['emphasis']:+.2f}",
            "" if row["strictness"] is None else f"{row['strictness']:+.2f}",
            f"{row['polarity_mean']:+.2f}",
            escape(
                "\n".join(
                    f"{said['polarity']:+.2f} {said['sentence']}" for said in row["sentences"]
                )
            ),
        )
    return table


def _said(row: dict[str, Any]) -> str:
    return f"{row['polarity']:+.2f} {row['sentence']}"


def _shown(value: Any) -> str:
    return f"{value:,.2f}" if isinstance(value, float) else str(value)
