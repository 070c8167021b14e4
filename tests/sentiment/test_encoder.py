from pathlib import Path
from shutil import copy

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from sentiment.encoder import EncoderConfig, TextEncoder
from sentiment.encoder_files import locate_encoder
from sentiment.errors import EncoderNotFoundError

TEXTS = [
    "Good.",
    "The strap is comfortable and the sound is warm, but the cable is far too short for me.",
    "",
    "Works",
    "很好 and ¡bueno! 123",
]


def plain_embeddings(texts: list[str]) -> np.ndarray:
    """Mean-pooled, normalised MiniLM as its model card has it, one text at a time."""
    where, _ = locate_encoder()
    tokenizer, model = AutoTokenizer.from_pretrained(where), AutoModel.from_pretrained(where)
    vectors = []
    for text in texts:
        inputs = tokenizer(text, return_tensors="pt", truncation=True, max_length=48)
        with torch.no_grad():
            last = model(**inputs).last_hidden_state[0]
        vectors.append(torch.nn.functional.normalize(last.mean(0), dim=0).numpy())
    return np.stack(vectors)


def test_embedding_is_plain_minilm(encoder: TextEncoder) -> None:
    texts = [*TEXTS, "word " * 100]
    embedding = encoder.pool(texts).embedding
    np.testing.assert_allclose(embedding, plain_embeddings(texts), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(embedding, axis=1), 1.0, atol=1e-6)


def test_layers_have_the_announced_shape(encoder: TextEncoder) -> None:
    pooled = encoder.pool(TEXTS)
    assert (encoder.num_layers, encoder.dim) == (6, 384)
    assert pooled.hidden.shape == (len(TEXTS), 7, 384)
    assert pooled.hidden.dtype == np.float32
    assert np.isfinite(pooled.hidden).all()


def test_no_texts_give_no_rows(encoder: TextEncoder) -> None:
    pooled = encoder.pool([])
    assert pooled.hidden.shape == (0, 7, 384)
    assert pooled.truncated.shape == (0,)
    assert pooled.embedding.shape == (0, 384)


@pytest.mark.parametrize(("num_words", "truncated"), [(1, False), (46, False), (47, True)])
def test_truncated_past_the_last_token_that_is_read(
    encoder: TextEncoder, num_words: int, truncated: bool
) -> None:
    # Two of the 48 tokens are special; "good" is one token.
    assert encoder.pool([" ".join(["good"] * num_words)]).truncated.tolist() == [truncated]


def test_an_unknown_encoder_is_refused() -> None:
    with pytest.raises(EncoderNotFoundError, match="no-such-encoder"):
        TextEncoder.load(EncoderConfig(name="no-such-encoder"))


@pytest.mark.parametrize("damaged", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_folder_with_a_damaged_file_is_refused(tmp_path: Path, damaged: str) -> None:
    where, _ = locate_encoder()
    for name in ("config.json", "tokenizer.json"):
        copy(Path(where) / name, tmp_path)
    (tmp_path / "model.safetensors").symlink_to(Path(where) / "model.safetensors")
    (tmp_path / damaged).unlink()
    (tmp_path / damaged).write_bytes(b"garbage")
    with pytest.raises(EncoderNotFoundError, match="could not be loaded"):
        TextEncoder.load(EncoderConfig(name=str(tmp_path)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_tokens": 7}, r"within 8\.\.512, not 7"),
        ({"max_tokens": 513}, "not 513"),
        ({"max_tokens": 64, "batch_tokens": 63}, r"batch_tokens \(63\) must hold .*\(64\)"),
    ],
)
def test_config_out_of_range_is_refused(change: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EncoderConfig(**change)  # pyright: ignore[reportArgumentType]
