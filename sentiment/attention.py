"""Which kernels of attention run on a GPU."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

# cuDNN's kernels are planned anew for every shape, and each batch has its own.
_KERNELS = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


def attention_of_any_shape(device: torch.device | str) -> AbstractContextManager[object]:
    """Return what keeps attention, forward and backward, to kernels that need no plan of a shape.

    On anything but a CUDA device it does nothing.
    """
    return sdpa_kernel(_KERNELS) if torch.device(device).type == "cuda" else nullcontext()
