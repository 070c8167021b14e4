"""The recipe of the Chinese model on a handful of texts."""

from pathlib import Path

import numpy as np
import pytest
import torch

import jobs.train_chinese_model as recipe
from jobs.sentiment_sources import Emotional
from sentiment.averaging import mean_state
from sentiment.model_file import load_model, save_model
from sentiment.tasks import StarTask, tokenise
from sentiment.training import star_mask

TEXTS = ["很好用，音质不错。", "太差了，用了三天就坏了。", "还可以。", "要是有黑色就好了。"] * 3


@pytest.fixture
def few_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    def tasks(data: Path, tokenizer, *, max_tokens: int, passes: int) -> list[StarTask]:
        ids = tokenise(tokenizer, TEXTS, max_tokens)
        return [StarTask(name="s", ids=ids, mask=star_mask([(5,), (1,), (3,), (4, 5)] * 3))]

    felt = Emotional(names=["happy", "sad"], texts=[], labels=np.zeros((0, 2), dtype=bool))
    monkeypatch.setattr(recipe, "pretraining_texts", lambda data: TEXTS)
    monkeypatch.setattr(recipe, "weibo_emotions", lambda data: felt)
    monkeypatch.setattr(recipe, "chinese_tasks", tasks)
    monkeypatch.setattr(
        recipe,
        "settling_tasks",
        lambda data, tokenizer, *, max_tokens: tasks(
            data, tokenizer, max_tokens=max_tokens, passes=1
        ),
    )
    monkeypatch.setattr(recipe, "tune_chinese", lambda trained, data, **more: {})


def test_a_student_begins_with_the_mean_of_the_members_and_is_what_ships(
    few_texts: None, tmp_path: Path
) -> None:
    def train(settled_share: float = 0.0) -> dict[str, torch.Tensor]:
        recipe.main(
            data=tmp_path,
            out=tmp_path,
            max_tokens=32,
            epochs=1,
            members=2,
            settled_share=settled_share,
            threads=1,
        )
        return load_model(tmp_path / recipe.FILE).model.trained_state()

    made = train()
    taught = load_model(tmp_path / "taught" / recipe.RAW)
    assert taught.base is None
    assert taught.tokenizer.encode("好").tokens == ["[CLS]", "好", "[SEP]"]
    for name, tensor in taught.model.trained_state().items():
        torch.testing.assert_close(made[name], tensor)
    again = train()
    assert all(torch.equal(made[name], again[name]) for name in made)

    # Members that were trained so little hardly differ: put heads there that do.
    files = [tmp_path / f"member-{n}" / recipe.RAW for n in range(2)]
    for seed, path in enumerate(files):
        save_model(path, recipe._fresh(tmp_path, tmp_path / "encoder", seed))
    (tmp_path / "taught" / recipe.RAW).unlink()
    student = train()["stars.1.weight"]
    first, second = (load_model(path).model.trained_state()["stars.1.weight"] for path in files)
    assert (first - second).abs().max() > 0.05
    assert (student - (first + second) / 2).abs().max() < 0.005

    # What settles begins with the student; the mean of both ships.
    made = train(settled_share=1.0)
    settled = load_model(tmp_path / "settled" / recipe.RAW).model.trained_state()
    student = load_model(tmp_path / "taught" / recipe.RAW).model.trained_state()
    moved = (settled["stars.1.weight"] - student["stars.1.weight"]).abs().max()
    assert 0 < moved < 0.005
    for name, tensor in mean_state([settled, student]).items():
        # Weights are kept in half precision.
        torch.testing.assert_close(made[name], tensor, atol=2e-3, rtol=2e-3)
