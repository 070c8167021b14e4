"""Dropout that draws one random byte a number.

On a CPU torch draws a mask of its own dropout at 8 ns a number, a sixth of a training step of the
towers. Sixty-four random bits serve eight numbers, and the chance is a whole number of 256ths.
"""

import torch
from torch import Tensor, nn

_LEVELS = 256


class ByteDropout(nn.Module):
    """Zeroes each number with a chance while training, and scales the others up accordingly.

    Args:
        chance: Of a number to be zeroed, within 0..1 without 1; rounded to a 256th.

    Raises:
        ValueError: If the chance is not within its range.
    """

    def __init__(self, chance: float) -> None:
        super().__init__()
        if not 0 <= chance < 1:
            raise ValueError(f"chance must be within [0, 1), not {chance}")
        self._zeroed = min(round(chance * _LEVELS), _LEVELS - 1)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the inputs, some of them zero; any shape, single precision."""
        if not self.training or not self._zeroed:
            return inputs
        words = torch.empty(-(-inputs.numel() // 8), dtype=torch.int64, device=inputs.device)
        words.random_(torch.iinfo(torch.int64).min, None)
        drawn = words.view(torch.uint8)[: inputs.numel()].view(inputs.shape)
        kept = (drawn >= self._zeroed).to(inputs.dtype)
        return inputs * kept.mul_(_LEVELS / (_LEVELS - self._zeroed))

    def extra_repr(self) -> str:
        """Return the chance in effect."""
        return f"chance={self._zeroed / _LEVELS:g}"
