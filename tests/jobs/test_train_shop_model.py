"""`sentirec sentiment train` on a model small enough to train in seconds."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from jobs.errors import BadInputError, NotDecidableError
from jobs.evaluate_sentiment import LabelledTexts
from jobs.ray_shop_training import Start, train_on_ray
from jobs.train_shop_model import MODEL_FILE, ShopTraining, train_shop_model
from sentiment.characters import character_tokenizer
from sentiment.model_file import TrainedModel, load_model, save_model
from sentiment.pretraining import EncoderShape, fresh_encoder
from sentiment.review_model import ReviewModel, ReviewModelConfig

WORDS = {"差": 0, "一般": 1, "很好": 2}
THINGS = ("书", "手机", "酒店", "衣服", "水果", "电脑", "茶", "鞋")
LABELLED = LabelledTexts(
    texts=[f"{thing}{word}{other}" for thing in THINGS for word in WORDS for other in THINGS],
    label=np.array([label for _ in THINGS for label in WORDS.values() for _ in THINGS]),
)
FAST = ShopTraining(epochs=6, batch_tokens=128, max_tokens=16, validation_share=0.2)


def start() -> TrainedModel:
    tokenizer = character_tokenizer(LABELLED.texts, min_count=1)
    shape = EncoderShape(width=16, num_layers=2, num_heads=2, max_tokens=16, dropout=0.0)
    encoder = cast(Any, fresh_encoder(tokenizer.get_vocab_size(), shape, seed=0)).bert
    torch.manual_seed(0)
    config = ReviewModelConfig(
        emotions=("joy",), hidden_dim=16, dropout=0.0, embedding_dim=16, own_words=True
    )
    return TrainedModel(model=ReviewModel(encoder, config), tokenizer=tokenizer, base=None)


@pytest.fixture(autouse=True)
def _faster(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Weights this small learn at higher rates, and lose by waiting for threads."""
    rates = {"full": 5e-3, "lora": 2e-2, "heads": 2e-2}
    monkeypatch.setattr("jobs.train_shop_model._RATES", rates)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("method", ["full", "lora", "heads"])
def test_each_method_learns_and_leaves_one_plain_file(tmp_path: Path, method: str) -> None:
    config = replace(FAST, method=method)
    report = train_shop_model(start, LABELLED, tmp_path, config, device="cpu")
    assert report.after["loss"] < report.before["loss"]
    assert report.num_training + report.num_validation == len(LABELLED.texts)
    assert [path.name for path in tmp_path.iterdir()] == [MODEL_FILE]
    loaded = load_model(report.file)
    assert not [name for name in loaded.model.state_dict() if "lora" in name]
    if method != "heads":
        assert report.after["accuracy"] > max(0.6, report.before["accuracy"])


def test_heads_alone_leave_the_encoder_as_it_was(tmp_path: Path) -> None:
    config = replace(FAST, method="heads", epochs=2)
    report = train_shop_model(start, LABELLED, tmp_path, config, device="cpu")
    before, after = start().model.encoder.state_dict(), load_model(report.file).model.encoder
    for name, tensor in after.state_dict().items():
        torch.testing.assert_close(tensor, before[name], atol=2e-3, rtol=2e-3)


def killed_at(step: int) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        if done == step:
            raise KeyboardInterrupt

    return progress


def test_a_killed_training_goes_on_to_the_same_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.train_shop_model._CHECKPOINT_STEPS", 5)
    whole = train_shop_model(start, LABELLED, tmp_path / "a", FAST, device="cpu")
    with pytest.raises(KeyboardInterrupt):
        train_shop_model(
            start, LABELLED, tmp_path / "b", FAST, device="cpu", progress=killed_at(22)
        )
    other = replace(FAST, label_smoothing=0.2)
    with pytest.raises(BadInputError, match="another folder"):
        train_shop_model(start, LABELLED, tmp_path / "b", other, device="cpu")
    resumed = train_shop_model(start, LABELLED, tmp_path / "b", FAST, device="cpu")
    assert resumed.after == pytest.approx(whole.after, abs=1e-6)


def test_the_average_of_seeds_is_no_worse_than_each(tmp_path: Path) -> None:
    config = replace(FAST, seeds=2, epochs=3, augment=1)
    report = train_shop_model(start, LABELLED, tmp_path, config, device="cpu")
    assert report.averaged in ([0], [1], [0, 1])
    assert report.num_training + report.num_validation > len(LABELLED.texts)
    assert [path.name for path in tmp_path.iterdir()] == [MODEL_FILE]


def test_a_training_without_gain_keeps_what_was(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = LabelledTexts(texts=LABELLED.texts, label=rng.permutation(LABELLED.label))
    config = replace(FAST, epochs=6, patience=1)
    report = train_shop_model(start, noise, tmp_path, config, device="cpu")
    assert report.after["loss"] <= report.before["loss"] + 1e-6


@pytest.mark.parametrize(
    ("texts", "label"),
    [
        (["好"] * 40, [2, 0] * 20),
        ([f"好{n}" for n in range(40)], [2] * 40),
        ([""] * 40, [0, 2] * 20),
    ],
)
def test_too_little_to_learn_from_is_said(
    tmp_path: Path, texts: list[str], label: list[int]
) -> None:
    labelled = LabelledTexts(texts=texts, label=np.array(label))
    with pytest.raises(NotDecidableError, match="too few"):
        train_shop_model(start, labelled, tmp_path, FAST, device="cpu")


@pytest.mark.parametrize(
    "change", [{"epochs": 0}, {"seeds": 0}, {"validation_share": 0.0}, {"label_smoothing": 1.0}]
)
def test_settings_out_of_range_are_refused(change: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        ShopTraining(**change)


@pytest.mark.slow
def test_two_workers_train_one_model(tmp_path: Path) -> None:
    trained = start()
    save_model(tmp_path / "start.safetensors", trained)
    report = train_on_ray(
        Start(model=tmp_path / "start.safetensors"),
        LABELLED,
        tmp_path / "out",
        replace(FAST, epochs=2),
        num_workers=2,
        use_gpu=False,
        threads=1,
    )
    assert report.after["loss"] <= report.before["loss"] + 1e-6
    assert load_model(report.file).model.config == trained.model.config
