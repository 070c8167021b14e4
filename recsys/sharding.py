"""The two-tower over several processes: TorchRec's DistributedModelParallel.

Tables are sharded table-wise or column-wise with fused optimizers; the towers are replicated. On
CUDA row-wise shards are allowed too (the CPU kernels lack them). `torch.distributed` must be
initialised by the caller: gloo on CPU, nccl on CUDA.
"""

from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed._shard.sharded_tensor.api import ShardedTensor
from torchrec.distributed.embedding_types import EmbeddingComputeKernel
from torchrec.distributed.embeddingbag import EmbeddingBagCollectionSharder
from torchrec.distributed.model_parallel import DistributedModelParallel
from torchrec.distributed.planner import EmbeddingShardingPlanner, Topology
from torchrec.distributed.planner.storage_reservations import FixedPercentageStorageReservation
from torchrec.distributed.planner.types import ParameterConstraints
from torchrec.distributed.types import ModuleSharder, ShardingType
from torchrec.optim.apply_optimizer_in_backward import apply_optimizer_in_backward

from recsys.retrieval import TrainedTowers
from recsys.tower_fitting import trained_towers
from recsys.two_tower import TwoTower, plain_tables, table_optimizer
from recsys.two_tower_config import TowerData, TrainingConfig, TwoTowerConfig
from recsys.two_tower_inputs import KEYS
from recsys.two_tower_progress import Progress
from recsys.two_tower_training import train_with_patience

_CPU_SHARDING = (ShardingType.TABLE_WISE.value, ShardingType.COLUMN_WISE.value)
_CUDA_SHARDING = (*_CPU_SHARDING, ShardingType.ROW_WISE.value)


def fit_sharded_towers(
    data: TowerData,
    towers: TwoTowerConfig,
    training: TrainingConfig,
    *,
    device: str,
    sharding_types: tuple[str, ...] | None = None,
    progress: Progress | None = None,
    on_epoch: Callable[[Progress], None] = lambda progress: None,
) -> TrainedTowers | None:
    """Train over all processes of the default group; every process calls this.

    Args:
        data: The same on every process.
        towers: Shape of the model.
        training: How to train; `batch_size` is per process.
        device: This process's torch device.
        sharding_types: TorchRec names to choose from; None allows what the device supports.
        progress: This process's own; go on from here. None begins.
        on_epoch: Called after each epoch with this process's progress.

    Returns:
        The trained towers on rank 0, None elsewhere.
    """
    model, done = train_with_patience(
        lambda: sharded_model(data, towers, training, device=device, sharding_types=sharding_types),
        data,
        towers,
        training,
        device=device,
        rank=dist.get_rank(),
        world_size=dist.get_world_size(),
        progress=progress,
        on_epoch=on_epoch,
    )
    assert isinstance(model, DistributedModelParallel)
    whole = _gather(model, data, towers)
    if whole is None:
        return None
    return trained_towers(whole, data, done, "cpu")


def sharded_model(
    data: TowerData,
    towers: TwoTowerConfig,
    training: TrainingConfig,
    *,
    device: str,
    sharding_types: tuple[str, ...] | None = None,
) -> DistributedModelParallel:
    """Return the model sharded over the default process group, its table optimizer fused."""
    torch.manual_seed(training.seed)
    kind = torch.device(device).type
    model = TwoTower(
        plain_tables(data.features, towers, device),
        text_dim=data.features.text.shape[1],
        config=towers,
    ).to(device)
    apply_optimizer_in_backward(
        torch.optim.Adagrad, model.tables.parameters(), table_optimizer(towers)
    )
    allowed = sharding_types or (_CUDA_SHARDING if kind == "cuda" else _CPU_SHARDING)
    constraint = ParameterConstraints(
        sharding_types=list(allowed), compute_kernels=[EmbeddingComputeKernel.FUSED.value]
    )
    sharders: list[ModuleSharder[nn.Module]] = [EmbeddingBagCollectionSharder()]  # type: ignore[list-item]
    planner = EmbeddingShardingPlanner(
        topology=Topology(world_size=dist.get_world_size(), compute_device=kind),
        storage_reservation=FixedPercentageStorageReservation(percentage=0.15),
        constraints={f"{key}_table": constraint for key in KEYS},
    )
    group = dist.group.WORLD
    assert group is not None
    plan = planner.collective_plan(model, sharders, group)
    return DistributedModelParallel(
        model, device=torch.device(device), plan=plan, sharders=sharders
    )


def _gather(
    model: DistributedModelParallel, data: TowerData, towers: TwoTowerConfig
) -> TwoTower | None:
    """Put the shards together on rank 0 and return an unsharded model there."""
    is_first = dist.get_rank() == 0
    state = {}
    for name, value in model.state_dict().items():
        if isinstance(value, ShardedTensor):
            full = torch.zeros(value.size()) if is_first else None
            value.gather(dst=0, out=full)
            state[name] = full
        else:
            state[name] = value.detach().cpu()
    if not is_first:
        return None
    whole = TwoTower(
        plain_tables(data.features, towers, "cpu"),
        text_dim=data.features.text.shape[1],
        config=towers,
    )
    whole.load_state_dict(state)
    return whole.eval()
