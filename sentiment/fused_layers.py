"""The layers of a BERT encoder, run for reading: the same numbers in fewer, larger steps.

One short text spends a quarter of its time between the products of matrices. Here query, key and
value are one product, and no mask is made where nothing is padded.

Shape suffixes: B texts, L tokens, D hidden width, H heads, K width of a head.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import BertModel

_linear, _norm = nn.functional.linear, nn.functional.layer_norm
Weights = tuple[Tensor, Tensor]


@dataclass(frozen=True, kw_only=True)
class _Layer:
    """Weight and bias of each step of a layer."""

    query_key_value: Weights
    output: Weights
    norm: Weights
    widen: Weights
    narrow: Weights
    last_norm: Weights

    @classmethod
    def of(cls, layer: nn.Module) -> "_Layer":
        attention = layer.attention.self  # type: ignore[union-attr]
        joined = [attention.query, attention.key, attention.value]  # type: ignore[union-attr]
        return cls(
            query_key_value=(
                torch.cat([part.weight for part in joined]).detach(),  # type: ignore[union-attr]
                torch.cat([part.bias for part in joined]).detach(),  # type: ignore[union-attr]
            ),
            output=_weights(layer.attention.output.dense),  # type: ignore[union-attr]
            norm=_weights(layer.attention.output.LayerNorm),  # type: ignore[union-attr]
            widen=_weights(layer.intermediate.dense),  # type: ignore[union-attr]
            narrow=_weights(layer.output.dense),  # type: ignore[union-attr]
            last_norm=_weights(layer.output.LayerNorm),  # type: ignore[union-attr]
        )


class FusedLayers:
    """Layers of an encoder on its device; a copy of some weights, so make it after training.

    Args:
        encoder: One that `can_fuse` accepts.
    """

    def __init__(self, encoder: BertModel) -> None:
        self._embeddings = encoder.embeddings
        self._layers = [_Layer.of(layer) for layer in encoder.encoder.layer]
        self._num_heads = encoder.config.num_attention_heads
        self._epsilon = encoder.config.layer_norm_eps

    def __call__(self, ids_BL: Tensor, mask_BL: Tensor) -> list[Tensor]:
        """Return the word embeddings and the output of each layer, shape (B, L, D) each."""
        hidden_BLD = self._embeddings(input_ids=ids_BL)
        padded = mask_BL.device.type != "cpu" or not bool(mask_BL.all())
        mask_B11L = mask_BL[:, None, None, :].bool() if padded else None
        states = [hidden_BLD]
        for layer in self._layers:
            hidden_BLD = self._run(layer, hidden_BLD, mask_B11L)
            states.append(hidden_BLD)
        return states

    def _run(self, layer: _Layer, hidden_BLD: Tensor, mask_B11L: Tensor | None) -> Tensor:
        B, L, D = hidden_BLD.shape
        joined = _linear(hidden_BLD, *layer.query_key_value)
        query, key, value = joined.view(B, L, 3, self._num_heads, -1).permute(2, 0, 3, 1, 4)
        read_BHLK = nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask_B11L
        )
        read_BLD = _linear(read_BHLK.transpose(1, 2).reshape(B, L, D), *layer.output)
        hidden_BLD = _norm(read_BLD + hidden_BLD, (D,), *layer.norm, self._epsilon)
        wide = nn.functional.gelu(_linear(hidden_BLD, *layer.widen))
        narrow_BLD = _linear(wide, *layer.narrow)
        return _norm(narrow_BLD + hidden_BLD, (D,), *layer.last_norm, self._epsilon)


def can_fuse(encoder: nn.Module) -> bool:
    """Tell whether an encoder is a BERT whose layers are those of `FusedLayers`."""
    if type(encoder) is not BertModel:
        return False
    config = encoder.config
    usual = getattr(config, "position_embedding_type", None) in (None, "absolute")
    return config.hidden_act == "gelu" and usual and not config.is_decoder


def _weights(module: nn.Module) -> Weights:
    return module.weight.detach(), module.bias.detach()  # type: ignore[union-attr, return-value]
