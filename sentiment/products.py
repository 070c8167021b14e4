"""Products with a matrix of weights on a CPU: packed beforehand, in bfloat16 where it has that.

A packed product is oneDNN's: the weights lie in the order in which its kernel reads them, sums are
kept in single precision, and the bias is added (and GELU taken) before anything is rounded.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

Product = Callable[[Tensor], Tensor]
_mkldnn = torch.ops.mkldnn


def cpu_multiplies_bf16() -> bool:
    """Tell whether this CPU has instructions that multiply bfloat16: AVX512-BF16 or AMX."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def can_pack() -> bool:
    """Tell whether this build of torch packs weights, in bfloat16 too, on this CPU."""
    needed = ("_linear_pointwise", "_reorder_linear_weight", "_is_mkldnn_bf16_supported")
    return (
        torch.backends.mkldnn.is_available()
        and all(hasattr(_mkldnn, name) for name in needed)
        and bool(_mkldnn._is_mkldnn_bf16_supported())
    )


def plain_product(weight: Tensor, bias: Tensor, *, gelu: bool = False) -> Product:
    """Return torch's own linear layer, in the precision of its weights.

    Args:
        weight: Shape (outputs, inputs).
        bias: Shape (outputs,).
        gelu: Whether GELU follows.
    """

    def run(inputs: Tensor) -> Tensor:
        outputs = nn.functional.linear(inputs, weight, bias)
        return nn.functional.gelu(outputs) if gelu else outputs

    return run


def packed_product(
    weight: Tensor,
    bias: Tensor,
    dtype: torch.dtype,
    *,
    gelu: bool = False,
    returned: torch.dtype | None = None,
) -> Product:
    """Return a product that oneDNN has packed the weights for; only where `can_pack`.

    Args:
        weight: Shape (outputs, inputs), on the CPU.
        bias: Shape (outputs,); stays in single precision.
        dtype: Of what is multiplied.
        gelu: Whether GELU follows.
        returned: What the outputs, which are rounded to `dtype`, are returned as; `dtype` if None.
    """
    weight, bias = weight.detach(), bias.detach().float()
    packed = _mkldnn._reorder_linear_weight(weight.to(dtype).contiguous())
    step = "gelu" if gelu else "none"

    def run(inputs: Tensor) -> Tensor:
        outputs = _mkldnn._linear_pointwise(inputs.to(dtype), packed, bias, step, [], "none")
        return outputs if returned is None else outputs.to(returned)

    return run
