"""A progress bar a step, on standard error, so that tables on standard output can be piped."""

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


class StepBars:
    """Bars of a command's steps, one below the other; plain lines where there is no terminal."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description:<28}"),
            BarColumn(),
            TextColumn("{task.fields[count]}"),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "StepBars":
        """Start drawing."""
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the bars as they are; those of finished steps are full."""
        if error is None:
            self._finish_all()
        self._bars.stop()

    def step(self, name: str, done: int = 0, total: int = 0) -> None:
        """Show how far a step is; its first mention finishes the steps before it.

        Args:
            name: The step.
            done: How much is done.
            total: How much there is; 0 where that is not known.
        """
        if name not in self._tasks:
            self._finish_all()
            self._tasks[name] = self._bars.add_task(name, total=total or None, count="")
            if not self._console.is_terminal:
                self._console.print(f"{name} ...", highlight=False)
        count = f"{done:,} of {total:,}" if total else ""
        self._bars.update(self._tasks[name], completed=done, total=total or None, count=count)

    def _finish_all(self) -> None:
        for task in self._bars.tasks:
            if not task.finished:
                total = task.total or 1
                self._bars.update(task.id, total=total, completed=total)
                self._bars.stop_task(task.id)
