"""The commands `sentirec abtest ...`: is the new one better, and how sure are we."""

import typer

app = typer.Typer(
    no_args_is_help=True,
    help="Plan, analyse and simulate experiments; evaluate policies from logs.",
)
