"""Two towers over one set of TorchRec tables.

A row is a weighted bag of items with the categories and brands of those items. An item is a bag of
one; a query is two bags: what the user bought, weighted by recency and sentiment, and what the user
browsed, weighted by recency and strength. One call of the embedding collection therefore serves
both towers, and they share their tables.

The score is an inner product: q . v + b, with the item's bias b carried as the last dimension of
its vector against a constant 1 in the query, so FAISS needs no special case.

Shape suffixes: R rows (2 B + C), B queries, C candidate items, D embedding width, T text width,
F dense features, Q query features.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchrec import EmbeddingBagCollection, EmbeddingBagConfig, KeyedJaggedTensor
from torchrec.modules.fused_embedding_modules import FusedEmbeddingBagCollection

from recsys.item_features import DENSE_COLUMNS, ItemFeatures
from recsys.query_tower import QueryTowerWeights
from recsys.two_tower_config import TwoTowerConfig
from recsys.two_tower_inputs import KEYS, NUM_QUERY_FEATURES, Bags


def to_kjt(bags: tuple[Bags, ...], device: torch.device | str) -> KeyedJaggedTensor:
    """Stack the rows of several bags into one KeyedJaggedTensor with weights."""
    values, lengths, weights = [], [], []
    for key in range(len(KEYS)):
        values += [part.values[key] for part in bags]
        lengths += [part.lengths[key] for part in bags]
        weights += [part.weights[key] for part in bags]
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


class TwoTower(nn.Module):
    """Query and item tower over shared tables."""

    def __init__(self, tables: nn.Module, *, text_dim: int, config: TwoTowerConfig) -> None:
        super().__init__()
        self.config = config
        self.tables = tables
        width = config.dim
        self.text = nn.Linear(text_dim, width)
        self.query = _tower(8 * width + NUM_QUERY_FEATURES, width, config)
        self.item = _tower(4 * width + len(DENSE_COLUMNS), width + 1, config)
        self.browsed_share = nn.Parameter(torch.ones(()))
        self.log_temperature = nn.Parameter(torch.zeros(()))

    def forward(
        self,
        rows: KeyedJaggedTensor,
        query_dense_BQ: Tensor,
        item_dense_CF: Tensor,
        text_RT: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return query vectors (B, D + 1) and item vectors (C, D + 1).

        The rows are what B users bought, what they browsed, and C items.
        """
        pooled = self.tables(rows).to_dict()
        inputs_RX = torch.cat([*(pooled[key] for key in KEYS), self.text(text_RT)], dim=1)
        sizes = [len(query_dense_BQ), len(query_dense_BQ), len(item_dense_CF)]
        bought_BX, browsed_BX, item_CX = inputs_RX.split(sizes)
        bought_BD, browsed_BD, item_CD = pooled["item"].split(sizes)
        query_BX = torch.cat([bought_BX, browsed_BX, query_dense_BQ], dim=1)
        query_BD = bought_BD + self.browsed_share * browsed_BD + self.query(query_BX)
        item_CE = self.item(torch.cat([item_CX, item_dense_CF], dim=1))
        item_CD = item_CD + item_CE[:, :-1]
        scale = torch.exp(-self.log_temperature)
        ones_B1 = torch.ones_like(query_BD[:, :1])
        return (
            torch.cat([query_BD * scale, ones_B1], dim=1),
            torch.cat([item_CD, item_CE[:, -1:]], dim=1),
        )


def _tower(inputs: int, outputs: int, config: TwoTowerConfig) -> nn.Sequential:
    return nn.Sequential(
        nn.Dropout(config.dropout),
        nn.Linear(inputs, config.hidden_dim),
        nn.GELU(),
        nn.Linear(config.hidden_dim, outputs),
    )


def query_tower_weights(model: TwoTower) -> QueryTowerWeights:
    """Take what `recsys.query_tower` needs out of a trained model."""
    state = {name: t.detach().cpu().float().numpy() for name, t in model.state_dict().items()}
    tables = {
        key: next(t for name, t in state.items() if name.endswith(f"{key}_table.weight"))
        for key in KEYS
    }
    return QueryTowerWeights(
        item_table=tables["item"],
        category_table=tables["category"],
        brand_table=tables["brand"],
        text_weight=state["text.weight"],
        text_bias=state["text.bias"],
        hidden_weight=state["query.1.weight"],
        hidden_bias=state["query.1.bias"],
        output_weight=state["query.3.weight"],
        output_bias=state["query.3.bias"],
        browsed_share=state["browsed_share"],
        scale=np.exp(-state["log_temperature"]),
    )
