"""`sentirec sentiment pretrain`: an encoder that loads by its folder, and goes on after a kill."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from jobs.cli import app
from jobs.errors import BadInputError
from jobs.pretrain_encoder import pretrain_encoder, read_texts
from sentiment.encoder import EncoderConfig, TextEncoder
from sentiment.pretraining import EncoderShape, Pretraining

TEXTS = [f"今天第{number}次买，很好用" for number in range(40)]
SHAPE = EncoderShape(width=16, num_layers=2, num_heads=2, max_tokens=32)
FAST = Pretraining(epochs=60, batch_tokens=256)


class _KilledError(BaseException):
    """Stands for a kill: nothing in the product catches it."""


def test_the_folder_is_an_encoder(tmp_path: Path) -> None:
    report = pretrain_encoder(TEXTS, tmp_path, SHAPE, replace(FAST, epochs=2), device="cpu")
    assert report.num_texts == 40
    assert not (tmp_path / "checkpoint.pt").exists()
    encoder = TextEncoder.load(EncoderConfig(name=str(tmp_path), max_tokens=32))
    assert (encoder.dim, encoder.num_layers) == (16, 2)
    assert encoder.pool(["很好用", ""]).hidden.shape == (2, 3, 16)


def test_a_killed_training_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    def killed_at(step: int):
        def progress(done: int, total: int) -> None:
            if done == step:
                raise _KilledError

        return progress

    whole, cut = tmp_path / "whole", tmp_path / "cut"
    pretrain_encoder(TEXTS, whole, SHAPE, FAST, device="cpu")
    with pytest.raises(_KilledError):
        pretrain_encoder(TEXTS, cut, SHAPE, FAST, device="cpu", progress=killed_at(120))
    assert not (cut / "model.safetensors").exists()
    steps: list[int] = []
    pretrain_encoder(
        TEXTS, cut, SHAPE, FAST, device="cpu", progress=lambda done, total: steps.append(done)
    )
    assert steps[0] == 101
    first, second = (
        TextEncoder.load(EncoderConfig(name=str(folder), max_tokens=32)).pool(TEXTS[:4]).hidden
        for folder in (whole, cut)
    )
    assert first == pytest.approx(second, abs=1e-5)


def test_another_training_in_the_folder_is_not_gone_on_with(tmp_path: Path) -> None:
    def progress(done: int, total: int) -> None:
        if done == 101:
            raise _KilledError

    with pytest.raises(_KilledError):
        pretrain_encoder(TEXTS, tmp_path, SHAPE, FAST, device="cpu", progress=progress)
    with pytest.raises(BadInputError, match="holds a training with another texts"):
        pretrain_encoder(TEXTS[:30], tmp_path, SHAPE, FAST, device="cpu")
    (tmp_path / "checkpoint.pt").write_bytes(b"cut")
    with pytest.raises(BadInputError, match="is damaged"):
        pretrain_encoder(TEXTS, tmp_path, SHAPE, FAST, device="cpu")


def test_texts_are_cleaned_and_counted_once(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    pl.DataFrame({"review": ["很好", "很好", None, " ", "<b>不好</b>"]}).write_csv(path)
    assert read_texts([path, path], "review") == ["很好", "不好"]
    with pytest.raises(BadInputError, match="has no column text; it has review"):
        read_texts([path], "text")


def test_the_command_says_what_it_made(tmp_path: Path) -> None:
    path, out = tmp_path / "x.csv", tmp_path / "encoder"
    pl.DataFrame({"review": TEXTS}).write_csv(path)
    options = ["--text-column", "review", "--out", str(out), "--epochs", "1", "--width", "16"]
    done = CliRunner().invoke(app, ["sentiment", "pretrain", str(path), *options])
    assert done.exit_code == 0, done.output
    assert "40 texts" in done.output
    options[-1] = "18"
    wrong = CliRunner().invoke(app, ["sentiment", "pretrain", str(path), *options])
    assert isinstance(wrong.exception, BadInputError)
    assert "width (18) must be a multiple of num_heads" in str(wrong.exception)
