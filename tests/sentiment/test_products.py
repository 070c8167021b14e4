"""Packed products say what torch's own linear layers say, up to the precision asked for."""

import pytest
import torch
from torch import Tensor, nn

from sentiment.products import can_pack, packed_product, plain_product

packs = pytest.mark.skipif(not can_pack(), reason="this CPU or build of torch packs no weights")


def weights(outputs: int, inputs: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(outputs + inputs)
    weight = torch.randn(outputs, inputs, generator=generator) / inputs**0.5
    return weight, torch.randn(outputs, generator=generator)


def rows(inputs: int) -> Tensor:
    return torch.randn(3, 7, inputs, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("gelu", [False, True])
def test_plain_products_are_torchs_own(gelu: bool) -> None:
    weight, bias = weights(20, 12)
    wanted = rows(12) @ weight.T + bias
    found = plain_product(weight, bias, gelu=gelu)(rows(12))
    torch.testing.assert_close(found, nn.functional.gelu(wanted) if gelu else wanted)


@packs
@pytest.mark.parametrize("gelu", [False, True])
@pytest.mark.parametrize("shape", [(384, 1536), (1536, 384), (5, 3)])
def test_single_precision_is_kept(shape: tuple[int, int], gelu: bool) -> None:
    weight, bias = weights(*shape)
    inputs = rows(shape[1])
    found = packed_product(weight, bias, torch.float32, gelu=gelu)(inputs)
    wanted = plain_product(weight, bias, gelu=gelu)(inputs)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


@packs
@pytest.mark.parametrize("gelu", [False, True])
def test_bfloat16_rounds_what_goes_in_and_what_comes_out_and_nothing_else(gelu: bool) -> None:
    weight, bias = weights(1536, 384)
    inputs = rows(384)
    found = packed_product(weight, bias, torch.bfloat16, gelu=gelu)(inputs)
    rounded = plain_product(weight.bfloat16().float(), bias, gelu=gelu)(inputs.bfloat16().float())
    assert found.dtype == torch.bfloat16
    # Half a unit in the last of eight places, and what sums in another order may tip over.
    torch.testing.assert_close(found.float(), rounded, atol=1e-4, rtol=2**-8)
    returned = packed_product(weight, bias, torch.bfloat16, gelu=gelu, returned=torch.float32)
    assert returned(inputs).dtype == torch.float32
    torch.testing.assert_close(returned(inputs), found.float(), atol=1e-4, rtol=2**-7)


@packs
def test_a_packed_product_is_of_the_weights_it_was_made_of() -> None:
    weight, bias = weights(8, 4)
    product = packed_product(weight, bias, torch.float32)
    before = product(rows(4))
    weight.zero_()
    torch.testing.assert_close(product(rows(4)), before)
