"""Train the English review model that ships, on public data.

Members of other seeds each learn in two stages: the first reads a share of everything; the second
reads aspect terms more often, needs, and enough of the rest that it is not forgotten. Students
begin with the mean of the members' weights and learn what the members say, in the mean, of more
texts. The mean of the students' weights and, if there is an earlier model, of that one's is
averaged with what it becomes, over several seeds, by some more steps on aspect terms and needs.
Heads and thresholds are tuned at the end. Run as
`python -m jobs.train_review_model --data ../shared/data --out runs/en`. Stopped and started
again, it goes on from its last checkpoint.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from jobs.review_tasks import (
    Passes,
    review_tasks,
    settling_tasks,
    span_tasks,
    taught_tasks,
)
from jobs.review_training import averaged, train_in_folder
from jobs.sentiment_sources import emotions
from jobs.tune_review_model import tune_english
from sentiment.encoder_files import DEFAULT_ENCODER
from sentiment.finetuning import FineTuning
from sentiment.model_file import TrainedModel, fresh_model, load_model, save_model
from sentiment.tasks import Task
from sentiment.teaching import TaughtTask, teach
from sentiment.torch_threads import use_threads

FILE = "en_review_model.safetensors"
STAGES = ("first", "second", "taught", "settled")
RAW = "trained.safetensors"
# All members begin with these heads, so that their weights can be averaged.
_HEADS_SEED = 0


def main(
    data: Annotated[Path, typer.Option(help="Folder that holds the training data.")],
    out: Annotated[Path, typer.Option(help="Folder of checkpoints and of the finished weights.")],
    device: Annotated[str, typer.Option(help="Torch device.")] = "cpu",
    max_tokens: Annotated[int, typer.Option(help="Longest review that is read.")] = 256,
    per_star: Annotated[int, typer.Option(help="Reviews a star from each large source.")] = 1800,
    polarity_passes: Annotated[int, typer.Option(help="Over Amazon's two classes.")] = 3,
    emotion_passes: Annotated[int, typer.Option(help="Over comments with emotions.")] = 2,
    aspect_passes: Annotated[int, typer.Option(help="Over sentences with aspects.")] = 4,
    members: Annotated[int, typer.Option(min=1, help="Models that teach.")] = 4,
    students: Annotated[int, typer.Option(min=1, help="Models that are taught.")] = 3,
    first_share: Annotated[float, typer.Option(help="Of the texts, a pass of stage 1.")] = 0.5,
    second_share: Annotated[float, typer.Option(help="Of the texts, a pass of stage 2.")] = 0.85,
    taught_share: Annotated[float, typer.Option(help="Of the texts a student reads.")] = 0.75,
    joined: Annotated[
        list[Path] | None, typer.Option(help="Earlier models; their mean joins that of the rest.")
    ] = None,
    settled: Annotated[int, typer.Option(min=0, help="Seeds of the last stage.")] = 3,
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 2,
) -> None:
    """Train, or go on training."""
    use_threads(threads)
    passes = Passes(polarity=polarity_passes, emotions=emotion_passes, aspects=aspect_passes)
    bf16 = device.startswith("cuda")
    refined = FineTuning(
        learning_rate=5e-5, head_learning_rate=3e-4, distilled_share=0.5, bf16=bf16
    )
    taught_by = []
    for seed in range(members):
        first, second = (out / f"member-{seed}" / stage / RAW for stage in STAGES[:2])
        if not first.is_file():
            config = FineTuning(seed=seed, share=first_share, bf16=bf16)
            _fine_tune(data, first, config, device, max_tokens, per_star, passes)
        if not second.is_file():
            config = replace(refined, seed=seed, share=second_share)
            _refine(data, first, second, config, device, max_tokens)
        taught_by.append(second)
    taught = [out / f"student-{seed}" / STAGES[2] / RAW for seed in range(students)]
    missing = [seed for seed, made in enumerate(taught) if not made.is_file()]
    if missing:
        texts = _said(data, taught_by, device, max_tokens)
        for seed in missing:
            config = replace(refined, seed=seed, share=taught_share)
            student = _mean(taught_by)
            tasks = [*texts, *_second_tasks(data, student, max_tokens, seed)]
            _learn(student, tasks, taught[seed], config, device, max_tokens, members)
    trained = _mean(taught)
    if joined:
        trained = averaged([trained, _mean(joined)])
    if settled:
        save_model(out / RAW, trained)
        config = replace(refined, learning_rate=3e-5)
        later = settle(data, out / RAW, out, config, settled, device, max_tokens)
        trained = averaged([trained, later])
    figures = tune_english(trained, data, device=device, max_tokens=max_tokens)
    save_model(out / FILE, trained)
    typer.echo(json.dumps(figures, indent=2))


def settle(
    data: Path,
    start: Path,
    out: Path,
    config: FineTuning,
    seeds: int,
    device: str,
    max_tokens: int,
) -> TrainedModel:
    """Return the mean of models that begin with a file and learn terms and needs once more."""
    made = [out / f"settled-{seed}" / STAGES[3] / RAW for seed in range(seeds)]
    for seed, file in enumerate(made):
        if not file.is_file():
            trained = load_model(start)
            tasks = settling_tasks(data, trained.tokenizer, max_tokens=max_tokens, seed=seed)
            settings = {"stage": 4, "max_tokens": max_tokens}
            of_seed = replace(config, seed=seed)
            _train_near_base(trained, tasks, file, of_seed, settings, device)
    return _mean(made)


def _fine_tune(
    data: Path,
    made: Path,
    config: FineTuning,
    device: str,
    max_tokens: int,
    per_star: int,
    passes: Passes,
) -> None:
    names = tuple(emotions(data, "train").names)
    trained = fresh_model(DEFAULT_ENCODER, emotions=names, seed=_HEADS_SEED)
    tasks = review_tasks(
        data, trained.tokenizer, max_tokens=max_tokens, per_star=per_star, passes=passes
    )
    settings = {"max_tokens": max_tokens, "per_star": per_star, "passes": asdict(passes)}
    train_in_folder(
        trained, tasks, config, made.parent, made.name, settings=settings, device=device
    )


def _refine(
    data: Path, first: Path, made: Path, config: FineTuning, device: str, max_tokens: int
) -> None:
    trained = load_model(first)
    tasks = _second_tasks(data, trained, max_tokens, config.seed)
    _train_near_base(trained, tasks, made, config, {"stage": 2, "max_tokens": max_tokens}, device)


def _learn(
    trained: TrainedModel,
    tasks: Sequence[Task],
    made: Path,
    config: FineTuning,
    device: str,
    max_tokens: int,
    members: int,
) -> None:
    settings = {"stage": 3, "max_tokens": max_tokens, "members": members}
    _train_near_base(trained, tasks, made, config, settings, device)


def _train_near_base(
    trained: TrainedModel,
    tasks: Sequence[Task],
    made: Path,
    config: FineTuning,
    settings: dict[str, Any],
    device: str,
) -> None:
    """Train while the embedding is held to the base's."""
    train_in_folder(
        trained,
        tasks,
        config,
        made.parent,
        made.name,
        settings=settings,
        device=device,
        reference=fresh_model(DEFAULT_ENCODER).model,
    )


def _second_tasks(data: Path, trained: TrainedModel, max_tokens: int, seed: int) -> list[Task]:
    return span_tasks(data, trained.tokenizer, max_tokens=max_tokens, seed=seed)


def _mean(files: Sequence[Path]) -> TrainedModel:
    return averaged([load_model(file) for file in files])


def _said(data: Path, files: Sequence[Path], device: str, max_tokens: int) -> list[TaughtTask]:
    """Return what the models of some files say of the texts that students read."""
    models = [load_model(file) for file in files]
    teachers = [one.model for one in models]
    bf16 = device.startswith("cuda")
    texts = taught_tasks(data, models[0].tokenizer, max_tokens=max_tokens)
    return [teach(teachers, task, device=device, bf16=bf16) for task in texts]


if __name__ == "__main__":
    typer.run(main)
