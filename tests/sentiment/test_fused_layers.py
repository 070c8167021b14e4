"""Fused layers say what the encoder itself says, padded or not, and others are left alone."""

import pytest
import torch
from tiny_model import tiny_encoder
from torch import nn
from transformers import BertConfig, BertModel

from sentiment.fused_layers import FusedLayers, can_fuse
from sentiment.model_file import load_model
from sentiment.products import can_pack
from sentiment.scorer import CHINESE_MODEL, ENGLISH_MODEL


def shipped(path) -> BertModel:
    encoder = load_model(path).model.encoder
    assert isinstance(encoder, BertModel)
    return encoder.eval()


@pytest.fixture(scope="module", params=["tiny", "English", "Chinese"])
def encoder(request: pytest.FixtureRequest) -> BertModel:
    if request.param == "tiny":
        return tiny_encoder()
    return shipped(ENGLISH_MODEL if request.param == "English" else CHINESE_MODEL)


def batch(lengths: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    ids_BL = torch.randint(200, 2000, (len(lengths), max(lengths)), generator=generator)
    mask_BL = torch.tensor([[int(n < length) for n in range(max(lengths))] for length in lengths])
    return ids_BL, mask_BL


@pytest.mark.parametrize("lengths", [[9], [1], [12, 12], [12, 3, 7]])
def test_every_layer_is_the_encoders_own(encoder: BertModel, lengths: list[int]) -> None:
    ids_BL, mask_BL = batch(lengths)
    with torch.inference_mode():
        wanted = encoder(input_ids=ids_BL, attention_mask=mask_BL, output_hidden_states=True)
        found = FusedLayers(encoder)(ids_BL, mask_BL)
    assert len(found) == len(wanted.hidden_states)
    for ours, theirs in zip(found, wanted.hidden_states, strict=True):
        seen = mask_BL.bool()
        torch.testing.assert_close(ours[seen], theirs[seen], atol=2e-5, rtol=1e-4)


@pytest.mark.skipif(not can_pack(), reason="this CPU or build of torch packs no weights")
@pytest.mark.parametrize("lengths", [[9], [1], [12, 3, 7]])
def test_bfloat16_keeps_close_and_between_products_full_precision(
    encoder: BertModel, lengths: list[int]
) -> None:
    ids_BL, mask_BL = batch(lengths)
    with torch.inference_mode():
        wanted = FusedLayers(encoder)(ids_BL, mask_BL)
        found = FusedLayers(encoder, bf16=True)(ids_BL, mask_BL)
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.dtype == torch.float32
        seen = mask_BL.bool()
        apart = (ours[seen] - theirs[seen]).norm() / theirs[seen].norm()
        assert apart < 0.02
    assert not torch.equal(found[-1], wanted[-1])


def test_shipped_encoders_are_fused_and_others_are_not(encoder: BertModel) -> None:
    assert can_fuse(encoder)
    config = BertConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8,
        hidden_act="relu",
    )  # fmt: skip
    assert not can_fuse(BertModel(config))
    assert not can_fuse(nn.Linear(2, 2))
