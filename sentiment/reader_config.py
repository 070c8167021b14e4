"""How texts are run through a model: windows, batches, device and precision."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch

from sentiment.products import cpu_multiplies_bf16

Precision = Literal["auto", "fp32", "bf16"]
_CPU_BATCH, _GPU_BATCH = 1024, 4096


@dataclass(frozen=True, kw_only=True)
class ReaderConfig:
    """How texts are run through a model.

    Attributes:
        max_tokens: Of a window, the two special ones included; fewer where a model reads no more.
        max_windows: Of a text; what is longer is marked `truncated`.
        batch_tokens: Padded tokens of one forward pass; bounds its memory. None is 4096 on a GPU
            and 1024 on a CPU, where larger products are no faster and less padding is read.
        device: Torch device, such as `cpu` or `cuda:0`.
        precision: Of matrix products; `auto` is bfloat16 on GPUs and on CPUs that multiply it.
    """

    max_tokens: int = 128
    max_windows: int = 8
    batch_tokens: int | None = None
    device: str = "cpu"
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 8 <= self.max_tokens <= 512:
            raise ValueError(f"max_tokens must be within 8..512, not {self.max_tokens}")
        if self.max_windows < 1:
            raise ValueError(f"max_windows must be at least 1, not {self.max_windows}")
        if self.tokens_a_batch < self.max_tokens:
            raise ValueError(
                f"batch_tokens ({self.tokens_a_batch}) must hold one window of max_tokens "
                f"({self.max_tokens})"
            )
        if self.precision not in get_args(Precision):
            raise ValueError(
                f"precision must be one of {', '.join(get_args(Precision))}, not {self.precision!r}"
            )

    @property
    def device_type(self) -> str:
        """Kind of the device: `cpu` or `cuda`."""
        return torch.device(self.device).type

    @property
    def tokens_a_batch(self) -> int:
        """What `batch_tokens` comes to."""
        if self.batch_tokens is not None:
            return self.batch_tokens
        return _CPU_BATCH if self.device_type == "cpu" else _GPU_BATCH

    @property
    def bf16(self) -> bool:
        """Whether matrix products are in bfloat16."""
        if self.precision != "auto":
            return self.precision == "bf16"
        if self.device_type == "cuda":
            return torch.cuda.is_bf16_supported()
        return cpu_multiplies_bf16()

    @property
    def precision_name(self) -> str:
        """What `precision` comes to: `bf16` or `fp32`."""
        return "bf16" if self.bf16 else "fp32"
