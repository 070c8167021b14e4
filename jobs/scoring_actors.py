"""The Ray Data actors of a scoring job, in one step or in three.

On a CPU one actor does everything. Beside a GPU the work that needs none (cleaning, tokens, spans,
rules) would keep it waiting: CPU actors do it before and after, and only the pass of the models is
on the GPU.
"""

import io
import pickle
from dataclasses import replace
from typing import Any

import polars as pl

from sentiment.scorer import ReviewScorer, ScorerConfig

SIGNALS = "signals"
_ROWS, _WORK = "rows", "work"
Message = dict[str, list[bytes]]


class _Actor:
    def __init__(self, config: ScorerConfig, threads: int) -> None:
        from sentiment.torch_threads import use_threads

        use_threads(threads)
        self._scorer = ReviewScorer.load(config)


class ScoringActor(_Actor):
    """Scores a window of rows from beginning to end."""

    def __call__(self, batch: Any) -> Message:
        """Return the signals of a window as one Arrow IPC message, so that no type is lost."""
        rows = _frame(batch)
        return {SIGNALS: [_with_keys(self._scorer.score_reviews(_reviews(rows)), rows)]}


class PreparingActor(_Actor):
    """Cleans and cuts a window of rows."""

    def __call__(self, batch: Any) -> Message:
        """Return what a model runs."""
        rows = _frame(batch)
        work = self._scorer.prepare(_reviews(rows))
        return {_ROWS: [_ipc(rows.select("kind", "text_key"))], _WORK: [pickle.dumps(work)]}


class RunningActor(_Actor):
    """Runs the models."""

    def __call__(self, batch: Any) -> Message:
        """Return what was prepared with what the models say of it."""
        rows, work = _unpacked(batch)
        return {_ROWS: [rows], _WORK: [pickle.dumps((work, self._scorer.run(work)))]}


class FinishingActor(_Actor):
    """Puts what the models said together."""

    def __call__(self, batch: Any) -> Message:
        """Return the signals of a window as one Arrow IPC message."""
        rows, (work, said) = _unpacked(batch)
        signals = self._scorer.finish(work, said)
        return {SIGNALS: [_with_keys(signals, pl.read_ipc(io.BytesIO(rows)))]}


def scored_windows(
    windows: Any, config: ScorerConfig, *, num_actors: int, num_cpu_actors: int, threads: int
) -> Any:
    """Return a Ray dataset of signals, one row a window.

    Args:
        windows: Ray dataset of `id, kind, title, text, text_key`, one block a window.
        config: Which models, and how they run.
        num_actors: Actors that run the models.
        num_cpu_actors: Actors that prepare, and as many that finish; 0 leaves that to the others.
        threads: CPU threads of an actor that runs the models.
    """
    on_gpu = config.device.startswith("cuda")

    def mapped(data: Any, actor: type, of: ScorerConfig, num: int, **resources: float) -> Any:
        import ray.data

        return data.map_batches(
            actor,
            batch_size=None,
            batch_format="pyarrow",
            fn_constructor_kwargs={
                "config": of,
                "threads": threads if of is config else 1,
            },
            compute=ray.data.ActorPoolStrategy(size=num),
            **resources,
        )

    models = {"num_cpus": 1.0} | ({"num_gpus": 1.0} if on_gpu else {})
    if not num_cpu_actors:
        return mapped(windows, ScoringActor, config, num_actors, **models)
    on_cpu = replace(config, device="cpu")
    prepared = mapped(windows, PreparingActor, on_cpu, num_cpu_actors, num_cpus=0.5)
    run = mapped(prepared, RunningActor, config, num_actors, **models)
    return mapped(run, FinishingActor, on_cpu, num_cpu_actors, num_cpus=0.5)


def _frame(batch: Any) -> pl.DataFrame:
    rows = pl.from_arrow(batch)
    assert isinstance(rows, pl.DataFrame)
    return rows


def _reviews(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.rename({"id": "review_id"})


def _with_keys(signals: pl.DataFrame, rows: pl.DataFrame) -> bytes:
    return _ipc(signals.with_columns(rows["kind"], rows["text_key"]))


def _ipc(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_ipc(buffer, compression="lz4")
    return buffer.getvalue()


def _unpacked(batch: Any) -> tuple[bytes, Any]:
    """Return the rows and the work of a message that this job's own actors packed."""
    return batch.column(_ROWS)[0].as_py(), pickle.loads(batch.column(_WORK)[0].as_py())
