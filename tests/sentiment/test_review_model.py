import pytest
import torch
from tiny_model import tiny_model

from sentiment.batching import padded
from sentiment.review_model import ReviewModelConfig

IDS = [[101, 2204, 102], [101, 2919, 3185, 999, 102]]


def test_a_fresh_embedding_is_the_mean_of_the_last_layer() -> None:
    model = tiny_model().eval()
    ids_BL, mask_BL = padded(IDS, "cpu")
    with torch.no_grad():
        found = model.embed(model.encode(ids_BL, mask_BL))
        for row, ids in enumerate(IDS):
            alone = model.encoder(input_ids=torch.tensor([ids])).last_hidden_state[0].mean(0)
            torch.testing.assert_close(found[row], alone / alone.norm(), atol=1e-6, rtol=1e-5)


def test_padding_changes_no_signal() -> None:
    model = tiny_model().eval()
    with torch.no_grad():
        together = model.encode(*padded(IDS, "cpu"))
        alone = model.encode(*padded(IDS[:1], "cpu"))
        spans = [torch.tensor([x]) for x in (0, 1, 2)]
        for read in (
            lambda encoded: model.stars(encoded.summary_BX)[0],
            lambda encoded: model.emotions(encoded.summary_BX)[0],
            lambda encoded: model.tags(encoded.tokens_BLD)[0, :3],
            lambda encoded: model.spans(encoded, *spans)[0],
        ):
            torch.testing.assert_close(read(together), read(alone), atol=1e-6, rtol=1e-5)


def test_a_span_is_read_from_the_mean_of_its_own_tokens() -> None:
    model = tiny_model().eval()
    with torch.no_grad():
        encoded = model.encode(*padded(IDS, "cpu"))
        row, start, end = torch.tensor([1, 0]), torch.tensor([1, 1]), torch.tensor([4, 2])
        found = model.spans(encoded, row, start, end)
        wanted = torch.cat([encoded.tokens_BLD[1, 1:4].mean(0), encoded.summary_BX[1]])
    torch.testing.assert_close(found[0], wanted, atol=1e-6, rtol=1e-5)
    assert found.shape == (2, 48)


def test_a_dropout_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="dropout must be within"):
        ReviewModelConfig(emotions=("joy",), dropout=1.0)


def test_a_model_without_emotions_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one label"):
        ReviewModelConfig(emotions=())


@pytest.mark.parametrize("own_words", [False, True])
def test_word_embeddings_are_kept_only_where_they_are_its_own(own_words: bool) -> None:
    model = tiny_model(own_words=own_words)
    kept = [name for name in model.trained_state() if ".embeddings." in name]
    assert bool(kept) is own_words
    words = dict(model.encoder.named_parameters())["embeddings.word_embeddings.weight"]
    assert words.requires_grad is own_words


def test_a_state_that_lacks_a_head_is_refused() -> None:
    state = {k: v for k, v in tiny_model().trained_state().items() if not k.startswith("tags")}
    with pytest.raises(ValueError, match=r"missing: \['tags"):
        tiny_model().load_trained_state(state)
