"""One encoder and the heads that read every signal of a text from a single pass.

Word embeddings stay those of the base encoder; its layers are fine-tuned. What a file of weights
holds is therefore the layers and the heads, in half precision.

Shape suffixes: B texts, L tokens, D hidden width, P layers with the token embedding as layer 0,
S spans, E emotions.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from sentiment.errors import WeightsError

NUM_STARS = 5
NUM_TAGS = 3
OUTSIDE, BEGIN, INSIDE = range(NUM_TAGS)
NUM_POLARITIES = 3
_FROZEN = "encoder.embeddings."


@dataclass(frozen=True, kw_only=True)
class ReviewModelConfig:
    """Shape of the heads.

    Attributes:
        num_emotions: Labels of the emotion head, E.
        hidden_dim: Width of the hidden layer of each head that has one.
        dropout: On what heads read, while training.
    """

    num_emotions: int = 28
    hidden_dim: int = 256
    dropout: float = 0.1

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be within [0, 1), not {self.dropout}")


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """What one pass leaves of B texts.

    Attributes:
        pooled_BPD: Mean over the tokens of each layer.
        first_BD: Last layer at the first token.
        tokens_BLD: Last layer.
    """

    pooled_BPD: Tensor
    first_BD: Tensor
    tokens_BLD: Tensor

    @property
    def summary_BX(self) -> Tensor:
        """What the heads of a whole text read: first token and mean of the last layer."""
        return torch.cat([self.first_BD, self.pooled_BPD[:, -1]], dim=1)


class ReviewModel(nn.Module):
    """Encoder with heads for stars, emotions, aspect terms and their polarity, and an embedding."""

    def __init__(self, encoder: nn.Module, config: ReviewModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder
        width = int(encoder.config.hidden_size)  # type: ignore[union-attr]
        layers = int(encoder.config.num_hidden_layers)  # type: ignore[union-attr]
        self.stars = _head(2 * width, NUM_STARS, config)
        self.emotions = _head(2 * width, config.num_emotions, config)
        self.tags = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(width, NUM_TAGS))
        self.span_polarity = _head(3 * width, NUM_POLARITIES, config)
        self.embedding = nn.Linear(layers * width, width, bias=False)
        with torch.no_grad():
            # Begin as the base does: the mean of the last layer.
            self.embedding.weight.zero_()
            self.embedding.weight[:, -width:] = torch.eye(width)
        for parameter in encoder.embeddings.parameters():  # type: ignore[union-attr]
            parameter.requires_grad_(False)

    def encode(self, ids_BL: Tensor, mask_BL: Tensor) -> Encoded:
        """Run the encoder once."""
        output = self.encoder(input_ids=ids_BL, attention_mask=mask_BL, output_hidden_states=True)
        weight_BL1 = mask_BL.unsqueeze(-1).to(output.hidden_states[-1].dtype)
        num_B1 = weight_BL1.sum(1)
        pooled = [(layer * weight_BL1).sum(1) / num_B1 for layer in output.hidden_states]
        tokens_BLD = output.hidden_states[-1]
        return Encoded(
            pooled_BPD=torch.stack(pooled, dim=1),
            first_BD=tokens_BLD[:, 0],
            tokens_BLD=tokens_BLD,
        )

    def embed(self, encoded: Encoded) -> Tensor:
        """Return unit embeddings that agree with the base encoder's, shape (B, D)."""
        return nn.functional.normalize(self.embedding(encoded.pooled_BPD[:, 1:].flatten(1)), dim=1)

    def polarity_of_spans(
        self, encoded: Encoded, row_S: Tensor, start_S: Tensor, end_S: Tensor
    ) -> Tensor:
        """Return logits of negative, neutral, positive for token spans, shape (S, 3)."""
        tokens_SLD = encoded.tokens_BLD[row_S]
        place_L = torch.arange(tokens_SLD.shape[1], device=tokens_SLD.device)
        inside_SL = (place_L >= start_S[:, None]) & (place_L < end_S[:, None])
        weight_SL1 = inside_SL.unsqueeze(-1).to(tokens_SLD.dtype)
        span_SD = (tokens_SLD * weight_SL1).sum(1) / weight_SL1.sum(1).clamp_min(1)
        return self.span_polarity(torch.cat([span_SD, encoded.summary_BX[row_S]], dim=1))

    def trained_state(self) -> dict[str, Tensor]:
        """Return every tensor but the base's word embeddings."""
        return {
            name: tensor
            for name, tensor in self.state_dict().items()
            if not name.startswith(_FROZEN)
        }

    def save(self, path: Path, *, base: str) -> None:
        """Write layers and heads in half precision.

        Args:
            path: A safetensors file.
            base: SHA-256 of the base encoder's weights, checked when the file is loaded.
        """
        state = {name: t.half().contiguous() for name, t in self.trained_state().items()}
        metadata = {
            "base": base,
            "num_emotions": str(self.config.num_emotions),
            "hidden_dim": str(self.config.hidden_dim),
        }
        save_file(state, path, metadata=metadata)

    @classmethod
    def load(cls, path: Path, encoder: nn.Module, *, base: str) -> "ReviewModel":
        """Put the weights of a file over a freshly loaded base encoder.

        Args:
            path: What `save` wrote.
            encoder: The base; changed in place.
            base: SHA-256 of its weights.

        Raises:
            WeightsError: If the file cannot be read, or was made for another base.
        """
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                if metadata["base"] != base:
                    raise WeightsError(
                        f"{path} was trained over an encoder with SHA-256 {metadata['base']}, and "
                        f"this one has {base}: use the encoder it was trained over"
                    )
                config = ReviewModelConfig(
                    num_emotions=int(metadata["num_emotions"]),
                    hidden_dim=int(metadata["hidden_dim"]),
                )
                state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
            model = cls(encoder, config)
            missing, unknown = model.load_state_dict(state, strict=False)
        except (OSError, KeyError, ValueError, RuntimeError, SafetensorError) as error:
            raise WeightsError(f"review model {path} cannot be read: {error}") from error
        missing = [name for name in missing if not name.startswith(_FROZEN)]
        if missing or unknown:
            raise WeightsError(
                f"review model {path} lacks {missing} and has unknown {unknown}: it is of another "
                "version; train it again or reinstall"
            )
        return model.eval()


def _head(inputs: int, outputs: int, config: ReviewModelConfig) -> nn.Sequential:
    return nn.Sequential(
        nn.Dropout(config.dropout),
        nn.Linear(inputs, config.hidden_dim),
        nn.GELU(),
        nn.Dropout(config.dropout),
        nn.Linear(config.hidden_dim, outputs),
    )
