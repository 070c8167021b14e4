"""Two towers over one set of TorchRec tables.

A row is a weighted bag of items with the categories and brands of those items. An item is a bag of
one; a query is two bags: what the user bought, weighted by recency and sentiment, and what the user
browsed, weighted by recency and strength. One call of the embedding collection therefore serves
both towers, and they share their tables.

The score is an inner product: q . v + b + w r, with the item's bias b against a constant 1 of the
query, and r, how popular the item is of late, against w, how much that counts for the user. All of
them are dimensions of the two vectors, so FAISS needs no special case. While training r is that of
the moment of each example and so not part of an item's vector.

Shape suffixes: R rows (2 B + C, and H with attention), B queries, C candidate items, H history
rows, D embedding width, T text width, F dense features, Q query features, P inputs of attention.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchrec import EmbeddingBagCollection, EmbeddingBagConfig, KeyedJaggedTensor
from torchrec.modules.fused_embedding_modules import FusedEmbeddingBagCollection

from recsys.byte_dropout import ByteDropout
from recsys.item_features import DENSE_COLUMNS, ItemFeatures
from recsys.item_tower import ItemTowerWeights
from recsys.query_tower import QueryTowerWeights
from recsys.two_tower_config import TwoTowerConfig
from recsys.two_tower_inputs import KEYS, NUM_ATTENTION_INPUTS, NUM_QUERY_FEATURES, Attended, Bags

_ATTENTION_WIDTH = 32


def to_kjt(
    bags: tuple[Bags, ...], device: torch.device | str, *, alone: np.ndarray | None = None
) -> KeyedJaggedTensor:
    """Stack the rows of several bags into one KeyedJaggedTensor with weights.

    Args:
        bags: Rows.
        device: Where to put them.
        alone: Items that are rows of their own, without categories or brand, shape (H,).
    """
    values, lengths, weights = [], [], []
    for key in range(len(KEYS)):
        values += [part.values[key] for part in bags]
        lengths += [part.lengths[key] for part in bags]
        weights += [part.weights[key] for part in bags]
        if alone is not None:
            values += [alone] if key == 0 else []
            weights += [np.ones(len(alone), dtype=np.float32)] if key == 0 else []
            lengths.append(np.full(len(alone), int(key == 0), dtype=np.int32))
    return KeyedJaggedTensor(
        keys=list(KEYS),
        values=torch.from_numpy(np.concatenate(values)),
        lengths=torch.from_numpy(np.concatenate(lengths)),
        weights=torch.from_numpy(np.concatenate(weights)),
    ).to(torch.device(device))


def table_configs(features: ItemFeatures, config: TwoTowerConfig) -> list[EmbeddingBagConfig]:
    """Return one table a key of `KEYS`."""
    sizes = (len(features), features.num_categories, features.num_brands)
    return [
        EmbeddingBagConfig(
            name=f"{key}_table",
            num_embeddings=size,
            embedding_dim=config.dim,
            feature_names=[key],
            weight_init_min=-0.05,
            weight_init_max=0.05,
        )
        for key, size in zip(KEYS, sizes, strict=True)
    ]


def fused_tables(
    features: ItemFeatures, config: TwoTowerConfig, device: torch.device | str
) -> FusedEmbeddingBagCollection:
    """Return tables whose optimizer runs inside their backward pass (one process)."""
    return FusedEmbeddingBagCollection(
        tables=table_configs(features, config),
        optimizer_type=torch.optim.Adagrad,
        optimizer_kwargs=table_optimizer(config),
        is_weighted=True,
        device=torch.device(device),
    )


def plain_tables(
    features: ItemFeatures, config: TwoTowerConfig, device: torch.device | str
) -> EmbeddingBagCollection:
    """Return unfused tables, to be sharded and fused by DistributedModelParallel."""
    return EmbeddingBagCollection(
        tables=table_configs(features, config), is_weighted=True, device=torch.device(device)
    )


def table_optimizer(config: TwoTowerConfig) -> dict[str, Any]:
    """Return the arguments of the tables' Adagrad."""
    return {"lr": config.table_learning_rate, "eps": 1e-8}


class AttentionPool(nn.Module):
    """Weighted sum of a user's rows; the weights start where the bag has them, and are learned.

    a_h = softmax over a user's rows of log weight_h + u . tanh(W [e_h, inputs_h] + b), u being zero
    at first.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.read = nn.Linear(width + NUM_ATTENTION_INPUTS, _ATTENTION_WIDTH)
        self.told = nn.Linear(_ATTENTION_WIDTH, 1, bias=False)
        nn.init.zeros_(self.told.weight)

    def forward(
        self, items_HD: Tensor, inputs_HP: Tensor, log_weight_H: Tensor, row_H: Tensor, size: int
    ) -> Tensor:
        """Return the pooled rows of `size` users, shape (B, D)."""
        told_H1 = self.told(torch.tanh(self.read(torch.cat([items_HD, inputs_HP], dim=1))))
        logit_H = log_weight_H + told_H1[:, 0]
        lowest = logit_H.new_full((size,), -torch.inf)
        highest_B = lowest.scatter_reduce(0, row_H, logit_H.detach(), "amax")
        weight_H = torch.exp(logit_H - highest_B[row_H])
        total_B = logit_H.new_zeros(size).index_add(0, row_H, weight_H)
        share_H1 = (weight_H / total_B[row_H])[:, None]
        empty = items_HD.new_zeros((size, items_HD.shape[1]))
        return empty.index_add(0, row_H, share_H1 * items_HD)


class TwoTower(nn.Module):
    """Query and item tower over shared tables."""

    def __init__(self, tables: nn.Module, *, text_dim: int, config: TwoTowerConfig) -> None:
        super().__init__()
        self.config = config
        self.tables = tables
        width = config.dim
        self.text = nn.Linear(text_dim, width)
        self.query = _tower(8 * width + NUM_QUERY_FEATURES, width + 1, config)
        self.item = _tower(4 * width + len(DENSE_COLUMNS), width + 1, config)
        self.browsed_share = nn.Parameter(torch.ones(()))
        self.log_temperature = nn.Parameter(torch.zeros(()))
        self.recency = nn.Parameter(torch.full((), 0.5))
        self.attention = AttentionPool(width) if config.attention else None

    def forward(
        self,
        rows: KeyedJaggedTensor,
        query_dense_BQ: Tensor,
        item_dense_CF: Tensor,
        text_RT: Tensor,
        history: tuple[Tensor, Tensor, Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Return query vectors (B, D + 2) and item vectors (C, D + 1).

        The rows are what B users bought, what they browsed, C items, and with attention each row
        that was bought alone; of those `history` holds query row, log weight and inputs.
        """
        pooled = self.tables(rows).to_dict()
        num_queries, num_items = len(query_dense_BQ), len(item_dense_CF)
        sizes = [num_queries, num_queries, num_items]
        stacked = {key: pooled[key][: sum(sizes)] for key in KEYS}
        bought_BD, browsed_BD, item_CD = stacked["item"].split(sizes)
        if self.attention is not None:
            row_H, log_weight_H, inputs_HP = history
            alone_HD = pooled["item"][sum(sizes) :]
            bought_BD = self.attention(alone_HD, inputs_HP, log_weight_H, row_H, num_queries)
            stacked["item"] = torch.cat([bought_BD, browsed_BD, item_CD])
        inputs_RX = torch.cat([*stacked.values(), self.text(text_RT)], dim=1)
        bought_BX, browsed_BX, item_CX = inputs_RX.split(sizes)
        query_BX = torch.cat([bought_BX, browsed_BX, query_dense_BQ], dim=1)
        query_BE = self.query(query_BX)
        query_BD = bought_BD + self.browsed_share * browsed_BD + query_BE[:, :-1]
        item_CE = self.item(torch.cat([item_CX, item_dense_CF], dim=1))
        item_CD = item_CD + item_CE[:, :-1]
        scale = torch.exp(-self.log_temperature)
        ones_B1 = torch.ones_like(query_BD[:, :1])
        return (
            torch.cat([query_BD * scale, ones_B1, query_BE[:, -1:] + self.recency], dim=1),
            torch.cat([item_CD, item_CE[:, -1:]], dim=1),
        )


def _tower(inputs: int, outputs: int, config: TwoTowerConfig) -> nn.Sequential:
    return nn.Sequential(
        ByteDropout(config.dropout),
        nn.Linear(inputs, config.hidden_dim),
        nn.GELU(),
        nn.Linear(config.hidden_dim, outputs),
    )


def history_tensors(
    rows: Attended | None, device: torch.device | str
) -> tuple[Tensor, Tensor, Tensor]:
    """Return what the model takes as `history`; of None, nothing."""
    if rows is None:
        inputs_HP = torch.zeros((0, NUM_ATTENTION_INPUTS), device=device)
        return torch.zeros(0, dtype=torch.int64, device=device), inputs_HP[:, 0], inputs_HP
    parts = (rows.row, rows.log_weight, rows.inputs)
    row_H, log_weight_H, inputs_HP = (torch.from_numpy(part).to(device) for part in parts)
    return row_H, log_weight_H, inputs_HP


def _arrays(model: nn.Module) -> dict[str, np.ndarray]:
    return {name: t.detach().cpu().float().numpy() for name, t in model.state_dict().items()}


def query_tower_weights(model: TwoTower, features: ItemFeatures) -> QueryTowerWeights:
    """Take what `recsys.query_tower` needs out of a model trained on items of these features."""
    state = _arrays(model)
    tables = {
        key: next(t for name, t in state.items() if name.endswith(f"{key}_table.weight"))
        for key in KEYS
    }
    none = np.zeros(0, dtype=np.float32)
    return QueryTowerWeights(
        item_table=tables["item"],
        category_table=tables["category"],
        brand_table=tables["brand"],
        text_table=features.text @ state["text.weight"].T,
        text_bias=state["text.bias"],
        hidden_weight=state["query.1.weight"],
        hidden_bias=state["query.1.bias"],
        output_weight=state["query.3.weight"],
        output_bias=state["query.3.bias"],
        browsed_share=state["browsed_share"],
        scale=np.exp(-state["log_temperature"]),
        recency=state["recency"],
        attention_weight=state.get("attention.read.weight", none),
        attention_bias=state.get("attention.read.bias", none),
        attention_output=state.get("attention.told.weight", none),
    )


def item_tower_weights(model: TwoTower) -> ItemTowerWeights:
    """Take what `recsys.item_tower` needs out of a trained model."""
    state = _arrays(model)
    return ItemTowerWeights(
        text_weight=state["text.weight"],
        hidden_weight=state["item.1.weight"],
        hidden_bias=state["item.1.bias"],
        output_weight=state["item.3.weight"],
        output_bias=state["item.3.bias"],
    )
