"""One file that holds a trained review model: tensors in half precision, and how to read them.

A model over a base encoder names the base and its hash; the base brings word embeddings, shape and
tokenizer. A model with an encoder of its own carries all of that itself.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import nn

from sentiment.encoder import load_base
from sentiment.encoder_files import locate_encoder
from sentiment.errors import WeightsError
from sentiment.review_model import ReviewModel, ReviewModelConfig

_FORMAT = "1"


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """A review model in evaluation mode, its tokenizer, and the name of its base, if it has one."""

    model: ReviewModel
    tokenizer: Tokenizer
    base: str | None


def fresh_model(
    base: str, *, emotions: tuple[str, ...] = ("neutral",), seed: int = 0
) -> TrainedModel:
    """Return a model with untrained heads over a base encoder.

    Args:
        base: See `locate_encoder`.
        emotions: Labels of its emotion head.
        seed: Of the heads' initial weights.

    Raises:
        EncoderNotFoundError: If the base cannot be found.
        WeightsError: If its files were altered.
    """
    encoder, tokenizer = load_base(base)
    torch.manual_seed(seed)
    model = ReviewModel(encoder, ReviewModelConfig(emotions=emotions))
    return TrainedModel(model=model.eval(), tokenizer=tokenizer, base=base)


def save_model(path: Path, trained: TrainedModel) -> None:
    """Write a model.

    Args:
        path: A safetensors file; it appears whole or not at all.
        trained: The model; one without a base must have `own_words`.
    """
    model = trained.model
    metadata = {"format": _FORMAT, "config": json.dumps(asdict(model.config))}
    if trained.base is None:
        metadata["encoder"] = json.dumps(_encoder_config(model).to_dict())
        metadata["tokenizer"] = trained.tokenizer.to_str()
    else:
        _, sha256 = locate_encoder(trained.base)
        metadata["base"] = json.dumps({"name": trained.base, "sha256": sha256})
    state = {
        name: tensor.half() if tensor.dim() > 1 else tensor.float()
        for name, tensor in model.cpu().trained_state().items()
    }
    part = path.with_name(path.name + ".part")
    save_file({name: t.contiguous() for name, t in state.items()}, part, metadata=metadata)
    part.replace(path)


def load_model(path: Path) -> TrainedModel:
    """Read what `save_model` wrote.

    Raises:
        EncoderNotFoundError: If its base cannot be found.
        WeightsError: If the file cannot be read, is of another form, or was trained over other
            weights of the base than the ones found.
    """
    metadata = read_metadata(path)
    try:
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        content = json.loads(metadata["config"])
        config = ReviewModelConfig(**content | {"emotions": tuple(content["emotions"])})
        if "base" in metadata:
            base = json.loads(metadata["base"])
            encoder, tokenizer = load_base(_known_base(path, **base))
        else:
            base = None
            encoder = _own_encoder(json.loads(metadata["encoder"]))
            tokenizer = Tokenizer.from_str(metadata["tokenizer"])
        model = ReviewModel(encoder, config)
        model.load_trained_state(state)
    except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise WeightsError(f"review model {path} is damaged: {error}") from error
    return TrainedModel(
        model=model.eval(), tokenizer=tokenizer, base=None if base is None else base["name"]
    )


def read_metadata(path: Path) -> dict[str, str]:
    """Return what a file says of its model, without reading the tensors.

    Raises:
        WeightsError: If the file cannot be read or is of another form.
    """
    metadata = _metadata(path)
    if metadata.get("format") != _FORMAT:
        raise WeightsError(
            f"review model {path} is of format {metadata.get('format')!r} and this version reads "
            f"{_FORMAT!r}: train it again, or reinstall"
        )
    return metadata


def _metadata(path: Path) -> dict[str, str]:
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"model {path} cannot be read: {error}") from error


def _known_base(path: Path, name: str, sha256: str) -> str:
    _, found = locate_encoder(name)
    if found != sha256:
        raise WeightsError(
            f"{path} was trained over {name} with SHA-256 {sha256}, and the one found has {found}: "
            "use the encoder it was trained over"
        )
    return name


def _encoder_config(model: ReviewModel) -> Any:
    return model.encoder.config


def _own_encoder(config: dict[str, Any]) -> nn.Module:
    from transformers import AutoConfig, AutoModel

    kind = config.pop("model_type")
    return AutoModel.from_config(AutoConfig.for_model(kind, **config), dtype=torch.float32)
