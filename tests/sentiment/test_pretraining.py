import numpy as np
import pytest
import torch

from sentiment.characters import MASK, SPECIAL, character_tokenizer
from sentiment.pretraining import (
    EncoderShape,
    Pretraining,
    fresh_encoder,
    mask_tokens,
    pretrain,
)

TEXTS = ["今天天气很好", "明天天气不好", "昨天下雨了"] * 20
TOKENIZER = character_tokenizer(TEXTS, min_count=1)
IDS = [encoding.ids for encoding in TOKENIZER.encode_batch(TEXTS)]
SHAPE = EncoderShape(width=32, num_layers=1, num_heads=2, max_tokens=16, dropout=0.0)
FAST = Pretraining(epochs=2, batch_tokens=64, learning_rate=5e-3)


def model(seed: int = 0) -> torch.nn.Module:
    return fresh_encoder(TOKENIZER.get_vocab_size(), SHAPE, seed=seed)


def test_characters_keep_their_place_in_the_text() -> None:
    encoding = TOKENIZER.encode("天 气x")
    assert encoding.tokens == ["[CLS]", "天", "气", "[UNK]", "[SEP]"]
    assert encoding.offsets[1:4] == [(0, 1), (2, 3), (3, 4)]
    assert [TOKENIZER.token_to_id(token) for token in SPECIAL] == [0, 1, 2, 3, 4]


def test_rare_characters_are_unknown_and_common_ones_come_first() -> None:
    tokenizer = character_tokenizer(["好好好坏", "好坏x"], min_count=2)
    assert tokenizer.token_to_id("好") == len(SPECIAL)
    assert tokenizer.token_to_id("坏") == len(SPECIAL) + 1
    assert tokenizer.token_to_id("x") is None


def test_what_is_masked() -> None:
    ids_BL = torch.tensor(np.random.default_rng(0).integers(0, 50, (200, 100)))
    read_BL, chosen_BL = mask_tokens(ids_BL, 0.15, 50, np.random.default_rng(1))
    real_BL = ids_BL >= len(SPECIAL)
    assert not (chosen_BL & ~real_BL).any()
    assert (read_BL == ids_BL)[~chosen_BL].all()
    assert chosen_BL.sum() / real_BL.sum() == pytest.approx(0.15, abs=0.01)
    masked = (read_BL == SPECIAL.index(MASK))[chosen_BL].float().mean().item()
    assert masked == pytest.approx(0.8, abs=0.03)
    kept = (read_BL == ids_BL)[chosen_BL].float().mean().item()
    assert kept == pytest.approx(0.1, abs=0.03)


def test_at_least_one_token_is_told() -> None:
    _, chosen_BL = mask_tokens(torch.tensor([[2, 9, 3]]), 1e-9, 50, np.random.default_rng(0))
    assert chosen_BL.tolist() == [[False, True, False]]


def test_it_learns_what_stands_where() -> None:
    losses: list[float] = []
    config = Pretraining(epochs=30, batch_tokens=128, learning_rate=5e-3)
    trained = pretrain(
        model(), IDS, config, device="cpu", on_step=lambda step, total, loss: losses.append(loss)
    )
    assert not trained.training
    assert np.mean(losses[-20:]) < 0.5 * np.mean(losses[:5])
    read = torch.tensor([TOKENIZER.encode("今天天气很好").ids])
    read[0, 4] = SPECIAL.index(MASK)
    with torch.no_grad():
        told = trained(input_ids=read).logits[0, 4].argmax().item()
    assert TOKENIZER.id_to_token(told) == "气"


def test_going_on_from_a_checkpoint_equals_never_having_stopped(tmp_path) -> None:
    path = tmp_path / "checkpoint.pt"

    def keep(state, step: int) -> None:
        if step == 5:
            torch.save(state(), path)

    whole = pretrain(model(), IDS, FAST, device="cpu", on_checkpoint=keep)
    steps: list[int] = []
    resumed = pretrain(
        model(seed=1),
        IDS,
        FAST,
        device="cpu",
        resume=torch.load(path),
        on_step=lambda step, total, loss: steps.append(step),
    )
    assert steps[0] == 6
    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], tensor, atol=1e-6, rtol=1e-5)


def test_texts_without_a_character_are_left_out() -> None:
    steps: list[int] = []
    pretrain(
        model(),
        [[2, 3], [2, 1, 3], IDS[0]],
        Pretraining(epochs=1),
        device="cpu",
        on_step=lambda step, total, loss: steps.append(total),
    )
    assert steps == [1]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"epochs": 0}, "epochs must be at least 1"), ({"masked_share": 0.0}, "masked_share must")],
)
def test_a_config_out_of_range_is_refused(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Pretraining(**wrong)
