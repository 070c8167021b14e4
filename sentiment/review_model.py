"""One encoder and the heads that read every signal of a text from a single pass.

Word embeddings of a base encoder stay as they are, and its layers are fine-tuned; an encoder of our
own is trained as a whole.

Shape suffixes: B texts, L tokens, D hidden width, P layers with the token embedding as layer 0,
S spans, E emotions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sentiment.attention import attention_of_any_shape
from sentiment.needs import NEED_KINDS
from sentiment.schema import EMBEDDING_DIM

NUM_STARS = 5
NUM_TAGS = 3
OUTSIDE, BEGIN, INSIDE = range(NUM_TAGS)
NUM_POLARITIES = 3
# Class 0 of the needs head is a clause without a need.
NUM_NEEDS = 1 + len(NEED_KINDS)
_WORD_EMBEDDINGS = "encoder.embeddings."


@dataclass(frozen=True, kw_only=True)
class ReviewModelConfig:
    """Shape of the heads.

    Attributes:
        emotions: Names of the labels of the emotion head, E of them.
        hidden_dim: Width of the hidden layer of each head that has one.
        dropout: On what heads read, while training.
        embedding_dim: Width of the embedding.
        own_words: Word embeddings are trained and kept too, not those of a base encoder.
    """

    emotions: tuple[str, ...]
    hidden_dim: int = 256
    dropout: float = 0.1
    embedding_dim: int = EMBEDDING_DIM
    own_words: bool = False

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be within [0, 1), not {self.dropout}")
        if not self.emotions:
            raise ValueError("emotions must name at least one label")


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
    """Encoder with heads for stars, emotions, aspect terms, the polarity of spans and their needs.

    Beside the weights it holds what was tuned on validation rows: temperatures of stars and span
    polarity, a threshold for each emotion, and the least probability of a need.
    """

    star_temperature: Tensor
    polarity_temperature: Tensor
    emotion_thresholds: Tensor
    need_threshold: Tensor

    def __init__(self, encoder: nn.Module, config: ReviewModelConfig) -> None:
        super().__init__()
        self.config = config
        if hasattr(encoder, "pooler"):
            encoder.pooler = None  # type: ignore[assignment]  # Nobody reads it.
        self.encoder = encoder
        width = int(encoder.config.hidden_size)  # type: ignore[union-attr]
        layers = int(encoder.config.num_hidden_layers)  # type: ignore[union-attr]
        self.stars = _head(2 * width, NUM_STARS, config)
        self.emotions = _head(2 * width, len(config.emotions), config)
        self.tags = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(width, NUM_TAGS))
        self.span_polarity = _head(3 * width, NUM_POLARITIES, config)
        self.needs = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(3 * width, NUM_NEEDS))
        self.embedding = nn.Linear((layers + 1) * width, config.embedding_dim, bias=False)
        with torch.no_grad():
            # Begin as the base does: the mean of the last layer.
            self.embedding.weight.zero_()
            self.embedding.weight[:, -width:] = torch.eye(config.embedding_dim, width)
        self.register_buffer("star_temperature", torch.ones(()))
        self.register_buffer("polarity_temperature", torch.ones(()))
        self.register_buffer("emotion_thresholds", torch.full((len(config.emotions),), 0.5))
        self.register_buffer("need_threshold", torch.ones(()))
        for parameter in encoder.embeddings.parameters():  # type: ignore[union-attr]
            parameter.requires_grad_(config.own_words)

    @property
    def max_tokens(self) -> int:
        """The longest text that the encoder reads, special tokens included."""
        return int(self.encoder.config.max_position_embeddings)  # type: ignore[union-attr, arg-type]

    def encode(self, ids_BL: Tensor, mask_BL: Tensor) -> Encoded:
        """Run the encoder once."""
        with attention_of_any_shape(ids_BL.device):
            output = self.encoder(
                input_ids=ids_BL, attention_mask=mask_BL, output_hidden_states=True
            )
        return self.gathered(output.hidden_states, mask_BL)

    @staticmethod
    def gathered(layers: Sequence[Tensor], mask_BL: Tensor) -> Encoded:
        """Return what heads read of the word embeddings and each layer's output, (B, L, D) each."""
        tokens_BLD = layers[-1]
        weight_B1L = mask_BL.unsqueeze(1).to(tokens_BLD.dtype)
        weight_B1L = weight_B1L / weight_B1L.sum(2, keepdim=True)
        pooled = [(weight_B1L @ layer).squeeze(1) for layer in layers]
        return Encoded(
            pooled_BPD=torch.stack(pooled, dim=1),
            first_BD=tokens_BLD[:, 0],
            tokens_BLD=tokens_BLD,
        )

    def embed(self, encoded: Encoded) -> Tensor:
        """Return unit embeddings that agree with the base encoder's, shape (B, D)."""
        return nn.functional.normalize(self.embedding(encoded.pooled_BPD.flatten(1)), dim=1)

    def spans(self, encoded: Encoded, row_S: Tensor, start_S: Tensor, end_S: Tensor) -> Tensor:
        """Return what heads of spans read: the mean of their tokens, and the summary of their text.

        Args:
            encoded: What `encode` returned.
            row_S: Text of each span.
            start_S: First token of each span.
            end_S: The token after its last one.

        Returns:
            Shape (S, 3 D).
        """
        # Sums up to each token: no span's tokens are copied.
        upto_BLD = nn.functional.pad(encoded.tokens_BLD.float().cumsum(1), (0, 0, 1, 0))
        sum_SD = upto_BLD[row_S, end_S] - upto_BLD[row_S, start_S]
        mean_SD = sum_SD / (end_S - start_S).clamp_min(1).unsqueeze(1)
        summary_SX = encoded.summary_BX[row_S]
        return torch.cat([mean_SD.to(summary_SX.dtype), summary_SX], dim=1)

    def trained_state(self) -> dict[str, Tensor]:
        """Return every tensor but the base's word embeddings."""
        return {
            name: tensor
            for name, tensor in self.state_dict().items()
            if self.config.own_words or not name.startswith(_WORD_EMBEDDINGS)
        }

    def load_trained_state(self, state: dict[str, Tensor]) -> None:
        """Put back what `trained_state` returned.

        Raises:
            ValueError: If tensors are missing or unknown.
        """
        missing, unknown = self.load_state_dict(state, strict=False)
        if not self.config.own_words:
            missing = [name for name in missing if not name.startswith(_WORD_EMBEDDINGS)]
        if missing or unknown:
            raise ValueError(f"tensors are missing: {missing}; unknown: {unknown}")


def _head(inputs: int, outputs: int, config: ReviewModelConfig) -> nn.Sequential:
    return nn.Sequential(
        nn.Dropout(config.dropout),
        nn.Linear(inputs, config.hidden_dim),
        nn.GELU(),
        nn.Dropout(config.dropout),
        nn.Linear(config.hidden_dim, outputs),
    )
