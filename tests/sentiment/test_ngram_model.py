from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from sentiment.errors import WeightsError
from sentiment.ngram_model import MAX_CHARACTERS, NgramModel, ngram_buckets

TEXTS = ["很好", "Bad 差", "", "音质不错，推荐购买"]


@pytest.fixture
def model() -> NgramModel:
    torch.manual_seed(3)
    model = NgramModel(num_buckets=64, dim=8)
    model.temperature.fill_(1.7)
    return model.eval()


@pytest.mark.parametrize(
    ("text", "num_buckets", "buckets"),
    [
        ("好 Ab", 1 << 16, [26370, 23674, 6487, 12809, 47977, 48327]),
        ("很好", 1000, [556, 378, 558]),
        ("", 1000, []),
        (" \n\u3000", 1000, []),
    ],
)
def test_buckets_never_move(text: str, num_buckets: int, buckets: list[int]) -> None:
    found = ngram_buckets(text, num_buckets)
    assert found.dtype == np.int64
    assert found.tolist() == buckets


@given(st.text(max_size=40), st.integers(1, 1 << 20), st.integers(1, 4))
def test_one_bucket_in_range_for_every_gram(text: str, num_buckets: int, max_n: int) -> None:
    buckets = ngram_buckets(text, num_buckets, max_n)
    num_characters = len("".join(text.lower().split()))
    assert len(buckets) == sum(max(0, num_characters - n + 1) for n in range(1, max_n + 1))
    assert ((buckets >= 0) & (buckets < num_buckets)).all()


def test_case_and_white_space_are_not_read() -> None:
    assert ngram_buckets("USB 线", 997).tolist() == ngram_buckets("u sb线\n", 997).tolist()


def test_nothing_is_read_past_the_longest_text() -> None:
    text = "好坏" * (MAX_CHARACTERS // 2)
    assert ngram_buckets(text + "差", 997).tolist() == ngram_buckets(text, 997).tolist()


def test_classes_sum_to_one_and_embeddings_have_unit_length(model: NgramModel) -> None:
    embedding, classes = model.embed_and_classify(TEXTS)
    assert embedding.shape == (4, 8)
    assert classes.shape == (4, 3)
    np.testing.assert_allclose(classes.sum(1), 1.0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(embedding, axis=1), [1, 1, 0, 1], atol=1e-6)


def test_vector_is_the_mean_of_its_grams(model: NgramModel) -> None:
    wanted = model.grams.weight[torch.from_numpy(ngram_buckets("很好", 64))].mean(0)
    torch.testing.assert_close(model(["坏", "很好"])[1], wanted)


def test_no_texts_give_no_rows(model: NgramModel) -> None:
    embedding, classes = model.embed_and_classify([])
    assert embedding.shape == (0, 8)
    assert classes.shape == (0, 3)
    assert model([]).shape == (0, 8)


def test_save_and_load_keep_the_model(model: NgramModel, tmp_path: Path) -> None:
    model.save(tmp_path / "model.safetensors")
    loaded = NgramModel.load(tmp_path / "model.safetensors")
    assert not loaded.training
    torch.testing.assert_close(loaded.grams.weight, model.grams.weight.half().float())
    for found, wanted in zip(
        loaded.embed_and_classify(TEXTS), model.embed_and_classify(TEXTS), strict=True
    ):
        np.testing.assert_allclose(found, wanted, atol=1e-3)


@pytest.mark.parametrize("content", [b"", b"garbage", None])
def test_damaged_or_missing_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "model.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"n-gram model .*model\.safetensors cannot be read"):
        NgramModel.load(path)


def test_cut_file_is_refused(model: NgramModel, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model.save(path)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(WeightsError, match="cannot be read"):
        NgramModel.load(path)


def test_file_of_another_model_is_refused(tmp_path: Path) -> None:
    save_file({"grams.weight": torch.zeros(8)}, tmp_path / "flat.safetensors")
    save_file({"other": torch.zeros(8)}, tmp_path / "other.safetensors")
    for name in ("flat", "other"):
        with pytest.raises(WeightsError, match="cannot be read"):
            NgramModel.load(tmp_path / f"{name}.safetensors")
