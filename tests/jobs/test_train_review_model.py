"""The recipe of the English model, over the real base and a handful of texts."""

from pathlib import Path

import numpy as np
import pytest
import torch

import jobs.train_review_model as recipe
from jobs.sentiment_sources import Emotional
from sentiment.averaging import mean_state
from sentiment.encoder_files import DEFAULT_ENCODER
from sentiment.model_file import TrainedModel, fresh_model, load_model, save_model
from sentiment.tasks import Span, StarTask, aspect_task, tokenise
from sentiment.training import star_mask

TEXTS = ["A good strap.", "A bad strap, and it broke.", "Fine.", "Awful sound, great price."]
NAMES = ["anger", "joy"]


@pytest.fixture
def few_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    def stars(data: Path, tokenizer, *, max_tokens: int, **more) -> list[StarTask]:
        ids = tokenise(tokenizer, TEXTS, max_tokens)
        return [StarTask(name="stars", ids=ids, mask=star_mask([(5,), (1,), (3,), (2, 4)]))]

    def taught(data: Path, tokenizer, *, max_tokens: int) -> list:
        spans = [[Span(start=0, end=len(text), polarity=0)] for text in TEXTS]
        return [aspect_task("texts", tokenizer, TEXTS, spans, max_tokens=max_tokens)]

    felt = Emotional(names=NAMES, texts=TEXTS, labels=np.zeros((len(TEXTS), 2), dtype=bool))
    monkeypatch.setattr(recipe, "emotions", lambda data, split: felt)
    monkeypatch.setattr(recipe, "review_tasks", stars)
    monkeypatch.setattr(recipe, "span_tasks", stars)
    monkeypatch.setattr(recipe, "settling_tasks", stars)
    monkeypatch.setattr(recipe, "taught_tasks", taught)
    monkeypatch.setattr(recipe, "tune_english", lambda trained, data, **more: {})


def train(out: Path, joined: list[Path] | None = None, settled: int = 0) -> TrainedModel:
    recipe.main(
        data=out,
        out=out,
        max_tokens=32,
        members=2,
        students=2,
        first_share=0.75,
        second_share=1.0,
        taught_share=1.0,
        joined=joined,
        settled=settled,
        threads=1,
    )
    return load_model(out / recipe.FILE)


def state_of(path: Path) -> dict[str, torch.Tensor]:
    return load_model(path).model.trained_state()


def assert_mean(found: dict[str, torch.Tensor], parts: list[dict[str, torch.Tensor]]) -> None:
    for name, wanted in mean_state(parts).items():
        # Weights are kept in half precision.
        torch.testing.assert_close(found[name], wanted, atol=2e-3, rtol=2e-3)


def test_what_ships_is_the_mean_of_students_and_of_an_earlier_model(
    few_texts: None, tmp_path: Path
) -> None:
    made = train(tmp_path).model.trained_state()
    students = [tmp_path / f"student-{seed}" / "taught" / recipe.RAW for seed in range(2)]
    assert_mean(made, [state_of(student) for student in students])
    members = [tmp_path / f"member-{seed}" / "second" / recipe.RAW for seed in range(2)]
    first, second = (state_of(member)["stars.1.weight"] for member in members)
    assert not torch.equal(first, second)

    # Trained so little they hardly differ: put heads there that do.
    earlier = tmp_path / "earlier.safetensors"
    for path, seed in ((students[1], 5), (earlier, 6)):
        save_model(path, fresh_model(DEFAULT_ENCODER, emotions=tuple(NAMES), seed=seed))
    before = {path: path.stat().st_mtime_ns for path in (*members, *students)}
    joined = train(tmp_path, [earlier]).model.trained_state()
    parts = [mean_state([state_of(student) for student in students]), state_of(earlier)]
    assert_mean(joined, parts)
    head = "stars.1.weight"
    assert (parts[0][head] - parts[1][head]).abs().max() > 0.05
    assert (state_of(students[0])[head] - state_of(students[1])[head]).abs().max() > 0.05
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_students_begin_with_the_mean_of_the_members(few_texts: None, tmp_path: Path) -> None:
    members = [tmp_path / f"member-{seed}" / "second" / recipe.RAW for seed in range(2)]
    for seed, member in enumerate(members):
        for path in (member, member.parent.parent / "first" / recipe.RAW):
            path.parent.mkdir(parents=True)
            save_model(path, fresh_model(DEFAULT_ENCODER, emotions=tuple(NAMES), seed=seed))
    train(tmp_path)
    head = "stars.1.weight"
    first, second = (state_of(member)[head] for member in members)
    student = state_of(tmp_path / "student-0" / "taught" / recipe.RAW)[head]
    # A step of three ten-thousandths a weight moves it little.
    assert (student - (first + second) / 2).abs().max() < 0.005
    assert (first - second).abs().max() > 0.05


def test_what_settles_begins_with_the_mean_and_is_averaged_with_it(
    few_texts: None, tmp_path: Path
) -> None:
    before = train(tmp_path).model.trained_state()
    made = train(tmp_path, settled=2).model.trained_state()
    settled = [tmp_path / f"settled-{seed}" / "settled" / recipe.RAW for seed in range(2)]
    later = mean_state([state_of(path) for path in settled])
    assert_mean(made, [before, later])
    head = "stars.1.weight"
    first, second = (state_of(path)[head] for path in settled)
    assert not torch.equal(first, second)
    for one in (first, second):
        assert 0 < (one - before[head]).abs().max() < 0.005
