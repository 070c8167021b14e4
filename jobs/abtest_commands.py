"""The commands `sentirec abtest ...`: is the new one better, and how sure are we."""

import typer

from jobs import (
    analyze_abtest_command,
    campaign_command,
    interleave_command,
    off_policy_command,
    plan_abtest_command,
    replay_command,
    simulate_command,
)

app = typer.Typer(
    no_args_is_help=True,
    help="Plan, analyse and simulate experiments; evaluate policies from logs.",
)
app.command("off-policy")(off_policy_command.off_policy)
app.command("analyze")(analyze_abtest_command.analyze)
app.command("plan")(plan_abtest_command.plan)
app.command("simulate")(simulate_command.simulate)
app.command("interleave")(interleave_command.interleave)
app.command("replay")(replay_command.replay)
app.command("campaign")(campaign_command.campaign)
