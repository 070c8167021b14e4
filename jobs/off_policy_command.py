"""`sentirec abtest off-policy`: what a policy would have earned, from the log of another."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.errors import BadInputError, NotDecidableError
from jobs.options import AsOfOption, ConfigOption, JsonOption, StoreOption, parse_moment
from jobs.output import Output

MOST_SEED = 2**32 - 1

if TYPE_CHECKING:
    from rich.table import Table

    from recsys.off_policy import OffPolicyReport


def off_policy(
    log: Annotated[
        Path,
        typer.Option(
            "--log",
            help="CSV (plain or .gz) or Parquet of what was shown, Open Bandit columns as they "
            "are; or a store with the table exposures.",
        ),
    ],
    policy: Annotated[
        str,
        typer.Option("--policy", help="uniform, bundle:VERSION, or a file of chances of items."),
    ],
    reward: Annotated[
        str, typer.Option("--reward", help="click, purchase, satisfaction, or a column.")
    ] = "click",
    estimator: Annotated[
        str, typer.Option("--estimator", help="Whose value is the answer; all are shown.")
    ] = "dr",
    clip: Annotated[
        float | None, typer.Option("--clip", help="Largest weight of clipped IPW; default: SLOPE.")
    ] = None,
    switch_lambda: Annotated[
        float, typer.Option("--switch-lambda", help="Largest weight that Switch-DR corrects with.")
    ] = 2.0,
    shrinkage_lambda: Annotated[
        float, typer.Option("--shrinkage-lambda", help="Of DR with optimistic shrinkage.")
    ] = 10.0,
    lightgbm: Annotated[bool, typer.Option(help="Also fit a LightGBM model of the reward.")] = True,
    temperature: Annotated[
        float,
        typer.Option("--temperature", help="Of a bundle's ranking, in its scores; 0: the best."),
    ] = 0.0,
    epsilon: Annotated[
        float, typer.Option("--epsilon", help="Chance of a bundle to fill a place by luck.")
    ] = 0.0,
    independent_places: Annotated[
        bool,
        typer.Option(
            "--independent-places",
            help="Propensities in a list are of places each for itself, not given those above.",
        ),
    ] = False,
    refresh_days: Annotated[
        float,
        typer.Option("--refresh-days", help="How often users' histories are read for a bundle."),
    ] = 7.0,
    window_days: Annotated[
        float, typer.Option("--window-days", help="Of clicks and purchases after an exposure.")
    ] = 7.0,
    judged_days: Annotated[
        float, typer.Option("--judged-days", help="Of reviews and returns after a purchase.")
    ] = 60.0,
    observed_until: AsOfOption = None,
    seed: Annotated[
        int, typer.Option("--seed", min=0, max=MOST_SEED, help="Of all randomness.")
    ] = 12345,
    num_resamples: Annotated[
        int, typer.Option("--resamples", min=1, help="Of the bootstrap.")
    ] = 1000,
    out: Annotated[
        Path | None, typer.Option("--out", help="Also write the report as one HTML page.")
    ] = None,
    store: StoreOption = None,
    config: ConfigOption = None,
    json: JsonOption = None,
) -> None:
    """Estimate what a policy would have earned from a log of another, or refuse to.

    Exit code 0: estimated. 4: not estimable from this log; the reasons are told, and no number.
    2: the log or the policy cannot be used.

    --as-of says where the data end: exposures whose window was not over by then are left out.
    """
    from jobs.evaluate_off_policy import BUNDLE, Question, evaluate_off_policy
    from jobs.off_policy_report import off_policy_report
    from jobs.stage_commands import load_settings, open_store
    from jobs.whole_files import check_folder, write_whole
    from recsys.off_policy import OffPolicyConfig
    from recsys.off_policy.exposure_rows import Attribution

    output = Output(json)
    if out is not None:
        check_folder(out)
    opened = None
    if policy.startswith(BUNDLE) and (store is not None or not log.is_dir()):
        opened = open_store(store, load_settings(config))
    try:
        settings = OffPolicyConfig(
            estimator=estimator,
            clip=clip,
            switch_lambda=switch_lambda,
            shrinkage_lambda=shrinkage_lambda,
            seed=seed,
            num_resamples=num_resamples,
            boosted=lightgbm,
            independent_places=independent_places,
        )
        question = Question(
            log=log,
            policy=policy,
            reward=reward,
            store=opened,
            temperature=temperature,
            epsilon=epsilon,
            refresh_days=refresh_days,
            attribution=Attribution(
                window_days=window_days,
                judged_days=judged_days,
                observed_until=parse_moment(observed_until),
            ),
        )
    except ValueError as error:
        raise BadInputError(str(error)) from error
    answer = evaluate_off_policy(question, settings)
    report = answer.report
    content = {"log": str(log), "seed": seed, **answer.to_dict()}
    output.write_json(content)
    if out is not None:
        write_whole(out, off_policy_report(report, source=str(log), left_out=answer.left_out))
    for why, count in answer.left_out.items():
        output.console.print(f"left out: {count:,} exposures {why}")
    output.console.print(_overlap_line(report))
    if report.reasons:
        raise NotDecidableError(f"{report.verdict}: {'; '.join(report.reasons)}")
    output.console.print(_estimates_table(report))
    for name, why in report.left_out.items():
        output.console.print(f"no {name}: {why}")
    for caution in report.cautions:
        output.console.print(f"caution: {caution}")
    output.console.print(answer_line(report), highlight=False)


def answer_line(report: "OffPolicyReport") -> str:
    """Return the verdict of a report in one sentence."""
    if report.reasons:
        return f"{report.verdict}: {'; '.join(report.reasons)}"
    found = report.estimates[report.estimator]
    low, high = found.intervals.bootstrap
    logged_low, logged_high = report.logged_interval
    return (
        f"{report.verdict}: {report.reward} of {report.policy} by {report.estimator} is "
        f"{found.value:.6f}, 95% bootstrap interval {low:.6f} to {high:.6f}; the log itself "
        f"earned {report.logged_value:.6f} ({logged_low:.6f} to {logged_high:.6f})"
    )


def _overlap_line(report: "OffPolicyReport") -> str:
    found = report.overlap
    return (
        f"{report.num_rows:,} rows, {report.num_actions:,} actions; effective sample size "
        f"{found.effective_sample_size:,.1f}, largest weight {found.largest_weight:.2f}, mean "
        f"weight {found.mean_weight:.4f}, never logged {found.unlogged_share:.2%}"
    )


def _estimates_table(report: "OffPolicyReport") -> "Table":
    from rich.table import Table

    table = Table(title=f"{report.reward} of {report.policy}")
    table.add_column("estimator")
    for name in ("value", "standard error", "bootstrap", "empirical Bernstein", "effective n"):
        table.add_column(name, justify="right")
    for name, found in report.estimates.items():
        bounds = found.intervals
        bernstein = bounds.empirical_bernstein
        table.add_row(
            name,
            f"{found.value:.6f}",
            f"{bounds.standard_error:.6f}",
            f"{bounds.bootstrap[0]:.6f} to {bounds.bootstrap[1]:.6f}",
            "–" if bernstein is None else f"{bernstein[0]:.6f} to {bernstein[1]:.6f}",
            f"{found.effective_sample_size:,.1f}",
        )
    return table
