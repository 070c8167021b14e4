"""The reader over a model small enough to follow, with the real tokenizer."""

from typing import Any

import numpy as np
import pytest
import torch
from tiny_model import tiny_model, tokenizer

from sentiment.batching import padded
from sentiment.model_file import TrainedModel
from sentiment.model_reader import ModelReader
from sentiment.reader_config import ReaderConfig
from sentiment.review_model import BEGIN, INSIDE, ReviewModel
from sentiment.tasks import tokenise

TEXTS = [
    "The battery life is awful, but the unputdownable screen is great.",
    "Great strap!",
    "",
    "It works. " * 30,
]


def reader(model: ReviewModel | None = None, **config) -> ModelReader:
    trained = TrainedModel(model=model or tiny_model(), tokenizer=tokenizer(), base=None)
    settings: dict[str, Any] = {"precision": "fp32", "max_tokens": 24} | config
    return ModelReader(trained, ReaderConfig(**settings))


def tagging(word_tags: dict[str, int]) -> ReviewModel:
    """A model whose tag head knows the tokens of some words by their embedding."""
    model, tokens = tiny_model(), tokenizer()
    marked = {tokens.encode(w, add_special_tokens=False).ids[0]: t for w, t in word_tags.items()}

    def remember(_embeddings, _args, named) -> None:
        model.seen = named["input_ids"]

    class Tags(torch.nn.Module):
        def forward(self, tokens_BLD):
            logits = torch.zeros(*tokens_BLD.shape[:2], 3)
            logits[..., 0] = 1.0
            for token, tag in marked.items():
                logits[..., tag] += 9.0 * (model.seen == token)  # type: ignore[operator]
            return logits

    embeddings: torch.nn.Module = model.encoder.embeddings  # type: ignore[assignment]
    embeddings.register_forward_pre_hook(remember, with_kwargs=True)
    model.tags = Tags()  # type: ignore[assignment]
    return model


def test_a_text_is_read_as_by_the_model_alone() -> None:
    model = tiny_model()
    found = reader(model).read(TEXTS)
    (ids,) = tokenise(tokenizer(), TEXTS[1:2], 64)
    with torch.no_grad():
        encoded = model.encode(*padded([ids], "cpu"))
        stars = model.stars(encoded.summary_BX).softmax(1)[0].numpy()
        embedding = model.embed(encoded)[0].numpy()
    np.testing.assert_allclose(found.stars[1], stars, atol=1e-6)
    np.testing.assert_allclose(found.embedding[1, :16], embedding, atol=1e-6)
    assert found.num_tokens[1] == len(ids) - 2


def test_company_and_batches_change_nothing() -> None:
    together, cut = reader().read(TEXTS), reader(batch_tokens=24).read(TEXTS)
    for row, text in enumerate(TEXTS):
        alone = reader().read([text])
        for found, place in ((together, row), (cut, row)):
            np.testing.assert_allclose(found.stars[place], alone.stars[0], atol=1e-5)
            np.testing.assert_allclose(found.embedding[place], alone.embedding[0], atol=1e-5)
            assert [(c.start, c.end) for c in found.clauses[place]] == [
                (c.start, c.end) for c in alone.clauses[0]
            ]


def test_windows_are_put_together_by_their_tokens() -> None:
    model = tiny_model()
    text = "It works well here. Bad."
    whole = reader(model, max_tokens=8, max_windows=4).read([text])
    parts = reader(model).read(["It works well here.", "Bad."])
    assert whole.num_tokens[0] == parts.num_tokens.sum()
    share = parts.num_tokens / parts.num_tokens.sum()
    np.testing.assert_allclose(whole.stars[0], share @ parts.stars, atol=1e-5)
    assert [(text[c.start : c.end]) for c in whole.clauses[0]] == ["It works well here.", "Bad."]


@pytest.mark.parametrize(("windows", "truncated"), [(2, True), (20, False)])
def test_nothing_is_cut_silently(windows: int, truncated: bool) -> None:
    found = reader(max_windows=windows).read(TEXTS)
    assert found.truncated.tolist() == [False, False, False, truncated]
    tokens = len(tokenise(tokenizer(), TEXTS[3:], 512)[0]) - 2
    assert (found.num_tokens[3] == tokens) is not truncated


def test_terms_are_whole_words_of_the_text() -> None:
    model = tagging({"battery": BEGIN, "life": INSIDE, "un": BEGIN})
    found = reader(model, max_tokens=48).read(TEXTS[:2])
    terms = [TEXTS[0][term.start : term.end] for term in found.terms[0]]
    assert terms == ["battery life", "unputdownable"]
    assert all(0 < term.confidence <= 1 and -1 <= term.polarity <= 1 for term in found.terms[0])
    assert found.terms[1] == []


def test_every_clause_is_asked_once_the_head_has_a_threshold() -> None:
    model = tiny_model()
    assert all(wishes == [] for wishes in reader(model).read(TEXTS).wishes)
    for threshold, certain in ((0.0, True), (0.999, False)):
        model.need_threshold.fill_(threshold)
        found = reader(model).read(TEXTS)
        assert [len(wishes) for wishes in found.wishes] == [len(c) for c in found.clauses]
        assert {wish.certain for wishes in found.wishes for wish in wishes} == {certain}


def test_nothing_to_read_is_certain_of_three_stars() -> None:
    found = reader().read([""])
    assert found.stars.tolist() == [[0, 0, 1, 0, 0]]
    assert np.isnan(found.emotions).all()
    assert not found.embedding.any()
    assert reader().read([]).stars.shape == (0, 5)


@pytest.mark.parametrize(
    "change",
    [{"max_tokens": 4}, {"max_windows": 0}, {"batch_tokens": 20}, {"precision": "fp8"}],
)
def test_settings_out_of_range_are_refused(change: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        reader(**change)


def test_bfloat16_moves_no_signal_by_more_than_a_hundredth() -> None:
    full, half = reader().read(TEXTS), reader(precision="bf16").read(TEXTS)
    np.testing.assert_allclose(half.stars, full.stars, atol=0.01)
    np.testing.assert_allclose(half.embedding, full.embedding, atol=0.02)


def test_batches_on_a_cpu_are_smaller() -> None:
    assert ReaderConfig().tokens_a_batch < ReaderConfig(device="cuda:0").tokens_a_batch
    assert ReaderConfig(batch_tokens=300).tokens_a_batch == 300


@pytest.mark.parametrize("multiplies", [False, True])
def test_bfloat16_is_chosen_where_the_cpu_multiplies_it(
    monkeypatch: pytest.MonkeyPatch, multiplies: bool
) -> None:
    monkeypatch.setattr("sentiment.reader_config.cpu_multiplies_bf16", lambda: multiplies)
    assert ReaderConfig().bf16 is multiplies
    assert ReaderConfig(precision="bf16").bf16
    assert not ReaderConfig(precision="fp32").bf16
