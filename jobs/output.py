"""What a command prints: tables for people, and the same as JSON for machines."""

import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from jobs.errors import BadInputError

STDOUT = "-"


class Output:
    """Where a command's results go.

    Args:
        json_target: A file for the machine's copy, `-` for standard output (people's tables then
            go to standard error), None for no copy.
    """

    def __init__(self, json_target: str | None) -> None:
        self._json_target = json_target
        stream = Console(stderr=json_target == STDOUT)
        # A pipe has no width of its own, and eighty columns would cut the tables.
        self.console = stream if stream.is_terminal else Console(stderr=stream.stderr, width=120)

    def write_json(self, content: dict[str, Any]) -> None:
        """Write the machine's copy, if one is wanted.

        Args:
            content: JSON types.

        Raises:
            BadInputError: The file cannot be written.
        """
        if self._json_target is None:
            return
        text = json.dumps(content, ensure_ascii=False, indent=2) + "\n"
        if self._json_target == STDOUT:
            sys.stdout.write(text)
            sys.stdout.flush()
            return
        try:
            Path(self._json_target).write_text(text, "utf-8")
        except OSError as error:
            raise BadInputError(
                f"cannot write {self._json_target}: {error.strerror or error}"
            ) from error
