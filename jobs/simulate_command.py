"""`sentirec abtest simulate`: a log of a policy over the sample shop, whose truth is known."""

from pathlib import Path
from typing import Annotated

import typer

from jobs.errors import BadInputError
from jobs.options import JsonOption
from jobs.output import Output


def simulate(
    out: Annotated[
        Path, typer.Option("--out", help="Folder of the store to write; not there yet.")
    ],
    policy: Annotated[
        str, typer.Option("--policy", help="uniform, popular, relevance or satisfaction.")
    ] = "relevance",
    temperature: Annotated[float, typer.Option("--temperature", help="Of its scores.")] = 0.1,
    epsilon: Annotated[
        float, typer.Option("--epsilon", help="Chance to fill a place by luck.")
    ] = 0.2,
    lists: Annotated[int, typer.Option("--lists", help="Lists that are shown.")] = 5000,
    places: Annotated[int, typer.Option("--places", help="Places of a list.")] = 3,
    candidates: Annotated[
        int, typer.Option("--candidates", help="Items that can be shown to each user.")
    ] = 8,
    users: Annotated[int, typer.Option("--users", help="Users of the sample shop.")] = 1500,
    items: Annotated[int, typer.Option("--items", help="Items of the sample shop.")] = 400,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of shop and simulation.")] = 7,
    json: JsonOption = None,
) -> None:
    """Write a sample shop and a log of a policy to a store, and say what each policy truly earns.

    The store has the tables exposures, events and reviews, so that `sentirec abtest off-policy
    --log FOLDER --policy uniform` can be held against the truth.
    """
    from rich.table import Table

    from features.store import Store
    from jobs.sample_shop import ShopConfig
    from jobs.simulate_experiment import SimulationConfig, simulate_into
    from recsys.simulated_users import Behaviour
    from recsys.simulation import REWARDS

    output = Output(json)
    try:
        config = SimulationConfig(
            policy=policy,
            temperature=temperature,
            epsilon=epsilon,
            num_lists=lists,
            num_candidates=candidates,
            behaviour=Behaviour(num_places=places),
            seed=seed,
            shop=ShopConfig(
                seed=seed,
                num_users=users,
                num_items=items,
                num_reviews=4 * users,
                num_events=40 * users,
            ),
        )
        # A policy checks its own settings.
        report = simulate_into(Store(out), config)
    except ValueError as error:
        raise BadInputError(str(error)) from error
    table = Table(title=f"{lists:,} lists by {policy}: mean of a place")
    table.add_column("policy")
    for name in REWARDS:
        table.add_column(name, justify="right")
    table.add_row("seen in the log", *(f"{report.seen[name]:.6f}" for name in REWARDS))
    for name, values in report.true_values.items():
        table.add_row(f"truth of {name}", *(f"{values[reward]:.6f}" for reward in REWARDS))
    output.console.print(table)
    output.console.print(
        ", ".join(f"{name}: {count:,} rows" for name, count in report.rows.items())
    )
    output.write_json({"out": str(out), "seed": seed, **report.to_dict()})
