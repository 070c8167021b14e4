"""The layers of a BERT encoder, run for reading: the same numbers in fewer, larger steps.

One short text spends a quarter of its time between the products of matrices. Here query, key and
value are one product, and no mask is made where nothing is padded.

Shape suffixes: B texts, L tokens, D hidden width, H heads, K width of a head.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import BertModel

from sentiment.attention import attention_of_any_shape
from sentiment.products import Product, packed_product, plain_product

_norm = nn.functional.layer_norm
Weights = tuple[Tensor, Tensor]


@dataclass(frozen=True, kw_only=True)
class _Layer:
    """The four products of a layer, and weight and bias of its two norms."""

    query_key_value: Product
    output: Product
    norm: Weights
    widen: Product
    narrow: Product
    last_norm: Weights

    @classmethod
    def of(cls, layer: nn.Module, *, bf16: bool) -> "_Layer":
        attention = layer.attention.self  # type: ignore[union-attr]
        joined = [attention.query, attention.key, attention.value]  # type: ignore[union-attr]
        weight = torch.cat([part.weight for part in joined]).detach()  # type: ignore[union-attr]
        bias = torch.cat([part.bias for part in joined]).detach()  # type: ignore[union-attr]
        output = _weights(layer.attention.output.dense)  # type: ignore[union-attr]
        widen = _weights(layer.intermediate.dense)  # type: ignore[union-attr]
        narrow = _weights(layer.output.dense)  # type: ignore[union-attr]
        norms = {
            "norm": _weights(layer.attention.output.LayerNorm),  # type: ignore[union-attr]
            "last_norm": _weights(layer.output.LayerNorm),  # type: ignore[union-attr]
        }
        if not bf16:
            return cls(
                query_key_value=plain_product(weight, bias),
                output=plain_product(*output),
                widen=plain_product(*widen, gelu=True),
                narrow=plain_product(*narrow),
                **norms,
            )
        half, full = torch.bfloat16, torch.float32
        return cls(
            # Half of the error that bfloat16 brings comes by way of queries, keys and values.
            query_key_value=packed_product(weight, bias, full),
            output=packed_product(*output, half, returned=full),
            widen=packed_product(*widen, half, gelu=True),
            narrow=packed_product(*narrow, half, returned=full),
            **norms,
        )


class FusedLayers:
    """Layers of an encoder on its device; a copy of some weights, so make it after training.

    Args:
        encoder: One that `can_fuse` accepts.
        bf16: On a CPU that `can_pack`: multiply in bfloat16, but for queries, keys and values.
            Attention, norms and what is added up from layer to layer stay in single precision.
    """

    def __init__(self, encoder: BertModel, *, bf16: bool = False) -> None:
        self._embeddings = encoder.embeddings
        self._layers = [_Layer.of(layer, bf16=bf16) for layer in encoder.encoder.layer]
        self._num_heads = encoder.config.num_attention_heads
        self._epsilon = encoder.config.layer_norm_eps

    def __call__(self, ids_BL: Tensor, mask_BL: Tensor) -> list[Tensor]:
        """Return the word embeddings and the output of each layer, shape (B, L, D) each."""
        hidden_BLD = self._embeddings(input_ids=ids_BL)
        padded = mask_BL.device.type != "cpu" or not bool(mask_BL.all())
        mask_B11L = mask_BL[:, None, None, :].bool() if padded else None
        states = [hidden_BLD]
        with attention_of_any_shape(mask_BL.device):
            for layer in self._layers:
                hidden_BLD = self._run(layer, hidden_BLD, mask_B11L)
                states.append(hidden_BLD)
        return states

    def _run(self, layer: _Layer, hidden_BLD: Tensor, mask_B11L: Tensor | None) -> Tensor:
        B, L, D = hidden_BLD.shape
        joined = layer.query_key_value(hidden_BLD)
        query, key, value = joined.view(B, L, 3, self._num_heads, -1).permute(2, 0, 3, 1, 4)
        read_BHLK = nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask_B11L
        )
        read_BLD = layer.output(read_BHLK.transpose(1, 2).reshape(B, L, D))
        hidden_BLD = _norm(read_BLD + hidden_BLD, (D,), *layer.norm, self._epsilon)
        narrow_BLD = layer.narrow(layer.widen(hidden_BLD))
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
