"""The section `[score]` of the configuration file: which models read, and how they run."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from sentiment.scorer import ScorerConfig

AUTO = "auto"


class ScoreSection(BaseModel):
    """`[score]`: how texts are scored."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str | None = None
    """File of the review model of everything but Chinese; absent, the shipped one."""
    chinese_model: str | None = None
    """File of the review model of Chinese; absent, the shipped one."""
    aspects: str | None = None
    """List of canonical aspects, a TOML file; absent, the shipped one."""
    max_tokens: int = Field(default=128, ge=8, le=512)
    """Longest window; a longer text is read in several."""
    max_windows: int = Field(default=8, ge=1)
    """Windows of a text; what is longer is cut and marked."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Of matrix products; `auto` is bf16 on GPUs and on CPUs that have it."""
    device: str = AUTO
    """A torch device; `auto` takes a GPU where there is one."""
    num_actors: int = Field(default=1, ge=1)
    """Processes of a scoring job that hold a model each."""
    num_cpu_actors: int | None = Field(default=None, ge=0)
    """Processes that prepare texts for them, and as many that finish; absent, 4 beside a GPU."""
    threads: int = Field(default=2, ge=1)
    """CPU threads of each."""

    def scorer_config(self) -> "ScorerConfig":
        """Return the configuration of a scorer; `auto` becomes the device there is."""
        # A file is read without torch: commands that score nothing start at once.
        from sentiment.aspects import ASPECTS_FILE
        from sentiment.scorer import CHINESE_MODEL, ENGLISH_MODEL, ScorerConfig

        return ScorerConfig(
            english=Path(self.model) if self.model else ENGLISH_MODEL,
            chinese=Path(self.chinese_model) if self.chinese_model else CHINESE_MODEL,
            aspects=Path(self.aspects) if self.aspects else ASPECTS_FILE,
            max_tokens=self.max_tokens,
            max_windows=self.max_windows,
            precision=self.precision,
            device=resolve_device(self.device),
        )


def resolve_device(device: str) -> str:
    """Return a torch device; `auto` is the first GPU where CUDA works, else the CPU."""
    if device != AUTO:
        return device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
