"""The commands `sentirec segments`: who to write to, who to leave alone, and why."""

import typer

from jobs import (
    segment_delivery_commands,
    segment_diff_command,
    segment_explain_command,
    segment_list_command,
    segment_overlap_command,
    segment_preview_command,
)

app = typer.Typer(no_args_is_help=True, help="Segments of users: definitions, previews, reasons.")
app.command("list")(segment_list_command.list_segments)
app.command()(segment_preview_command.preview)
app.command()(segment_overlap_command.overlap)
app.command()(segment_diff_command.diff)
app.command("explain-user")(segment_explain_command.explain_user)
app.command()(segment_delivery_commands.export)
app.command()(segment_delivery_commands.sync)
app.command("verify-log")(segment_delivery_commands.verify_log)
