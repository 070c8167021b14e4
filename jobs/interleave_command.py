"""`sentirec abtest interleave`: two rankings in one list, and which of them users prefer."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.errors import BadInputError, NotDecidableError
from jobs.options import JsonOption
from jobs.output import Output

if TYPE_CHECKING:
    from recsys.interleaving import Preference

RankingOption = Annotated[
    Path | None, typer.Option(help="CSV or Parquet of list_id, item_id, rank.")
]


def interleave(
    a: RankingOption = None,
    b: RankingOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="CSV to write: interleaved lists of --a and --b.")
    ] = None,
    log: Annotated[
        Path | None,
        typer.Option("--log", help="What followed: list_id, user_id, team and the reward."),
    ] = None,
    reward: Annotated[str, typer.Option("--reward", help="Column of --log that counts.")] = "click",
    alpha: Annotated[
        float, typer.Option("--alpha", min=0.0001, max=0.5, help="Size of the test.")
    ] = 0.05,
    simulate: Annotated[
        tuple[str, str] | None,
        typer.Option("--simulate", help="Two policies of the sample shop: what would be saved."),
    ] = None,
    power: Annotated[float, typer.Option("--power", help="Of the simulated tests.")] = 0.8,
    places: Annotated[int, typer.Option("--places", min=1, help="Of a list.")] = 10,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of coins and simulation.")] = 7,
    json: JsonOption = None,
) -> None:
    """Interleave two rankings (--a --b --out), analyse what followed (--log), or --simulate.

    Team draft: a click counts for the ranking whose pick it was. With --log the exit code is 0
    where users prefer one of both, and 4 where that cannot be told.
    """
    output = Output(json)
    modes = [a is not None or b is not None, log is not None, simulate is not None]
    if sum(modes) != 1:
        raise BadInputError("give --a, --b and --out; or --log; or --simulate POLICY POLICY")
    if simulate is not None:
        _simulate(output, simulate, places=places, seed=seed, power=power)
    elif log is not None:
        _analyze(output, log, reward, alpha)
    elif a is None or b is None or out is None:
        raise BadInputError("--a, --b and --out go together")
    else:
        _write(output, a, b, out, places=places, seed=seed)


def _write(output: Output, a: Path, b: Path, out: Path, *, places: int, seed: int) -> None:
    from jobs.interleave_rankings import interleave_files
    from jobs.whole_files import check_folder, write_whole

    check_folder(out)
    lists = interleave_files(a, b, places=places, seed=seed)
    write_whole(out, lists.write_csv())
    picks = {team: int((lists["team"] == team).sum()) for team in ("a", "b")}
    agreed = int(lists["team"].null_count())
    num_lists = lists["list_id"].n_unique()
    output.console.print(
        f"{num_lists:,} lists: {picks['a']:,} picks of a, {picks['b']:,} of b, {agreed:,} on which "
        "both agree"
    )
    output.write_json({"out": str(out), "num_lists": num_lists, "picks": picks, "agreed": agreed})


def _analyze(output: Output, log: Path, reward: str, alpha: float) -> None:
    from jobs.interleave_rankings import analyze_interleaved

    found = analyze_interleaved(log, reward)
    decided = found.t_p < alpha
    preferred = ("b" if found.mean_difference > 0 else "a") if decided else None
    output.write_json(
        {"log": str(log), "reward": reward, "alpha": alpha, "preferred": preferred} | asdict(found)
    )
    output.console.print(preference_line(found))
    if preferred is None:
        raise NotDecidableError(
            f"not decidable: p {found.t_p:.4f} of the t test over {found.num_users:,} users, "
            f"wanted below {alpha:g}: show more lists"
        )
    output.console.print(f"users prefer {preferred} (p {found.t_p:.4g})")


def preference_line(found: "Preference") -> str:
    """Return what was seen in one sentence."""
    return (
        f"{found.num_lists:,} lists with a reward: {found.wins_a:,} for a, {found.wins_b:,} for b, "
        f"{found.ties:,} ties; a list of a user gives b {found.mean_difference:+.4f} more "
        f"({found.low:+.4f} to {found.high:+.4f}), p {found.t_p:.4g}; of users {found.users_a:,} "
        f"prefer a and {found.users_b:,} b, sign test p {found.sign_p:.4g}"
    )


def _simulate(
    output: Output, policies: tuple[str, str], *, places: int, seed: int, power: float
) -> None:
    from jobs.interleave_rankings import simulate_saving

    saving, content = simulate_saving(*policies, places=places, seed=seed, power=power)
    output.write_json(content)
    output.console.print(
        f"{policies[1]} against {policies[0]} on the sample shop: {saving.true_difference:+.4f} "
        f"clicks a list in truth. For a power of {power:g} interleaving wants "
        f"{saving.interleaved_lists:,} lists, an A/B test {saving.ab_lists:,}: "
        f"{saving.ratio:.1f} times as many. Counted at {saving.interleaved_lists:,} lists: "
        f"interleaving {saving.interleaved_power:.0%}, A/B {saving.ab_power:.0%}"
    )
