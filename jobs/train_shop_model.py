"""Training of a review model on a shop's own labels: all of it, low-rank adapters, or heads alone.

A part of the labels is kept for validation: it ends the training early, chooses among epochs and
seeds, and sets the temperature. Stopped and started again, the training goes on.
"""

import copy
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from jobs.checkpoints import forget_checkpoint, keep_every, last_checkpoint
from jobs.errors import BadInputError, NotDecidableError
from jobs.evaluate_sentiment import LabelledTexts
from sentiment.augmenting import AugmentConfig, augmented
from sentiment.averaging import greedy_soup
from sentiment.cleaning import clean_text, text_key
from sentiment.finetuning import FineTuning, fine_tune, schedule_batches
from sentiment.head_tuning import run_texts, set_star_temperature
from sentiment.metrics import macro_f1
from sentiment.model_file import TrainedModel, save_model
from sentiment.parallel import ALONE, Parallel
from sentiment.review_model import ReviewModel
from sentiment.tasks import StarTask, tokenise
from sentiment.training import NEGATIVE_STARS, POSITIVE_STARS, set_likelihood_loss, star_mask

Method = Literal["full", "lora", "heads"]
MODEL_FILE = "review_model.safetensors"
_BEST = "best.pt"
_CLASSES = (NEGATIVE_STARS, (3,), POSITIVE_STARS)
_CHECKPOINT_STEPS = 100
_LEAST_TEXTS = 20
# Adapters and heads begin from little and bear a higher rate than weights that know something.
_RATES: dict[Method, float] = {"full": 3e-5, "lora": 5e-4, "heads": 5e-4}


@dataclass(frozen=True, kw_only=True)
class ShopTraining:
    """How a model is trained on labels of three classes.

    Attributes:
        method: `full` trains every layer, `lora` low-rank adapters that are merged afterwards,
            `heads` the heads alone.
        epochs: Passes at most.
        patience: Passes without a better validation loss before it ends.
        validation_share: Of the texts.
        class_weights: Rare classes count as much as common ones.
        label_smoothing: Share of the loss that asks for all stars alike.
        augment: Changed copies of each training text.
        seeds: Models that are trained, and averaged where that is better.
        lora_rank: Of the adapters.
        max_tokens: Longest text read in training.
        batch_tokens: Padded tokens of a step.
        seed: Of the split and of the first model.
    """

    method: Method = "full"
    epochs: int = 4
    patience: int = 2
    validation_share: float = 0.1
    class_weights: bool = True
    label_smoothing: float = 0.05
    augment: int = 0
    seeds: int = 1
    lora_rank: int = 16
    max_tokens: int = 128
    batch_tokens: int = 1280
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("epochs", "patience", "seeds", "lora_rank"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 0 < self.validation_share < 0.9:
            raise ValueError(
                f"validation_share must be within (0, 0.9), not {self.validation_share}"
            )
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing must be within [0, 1), not {self.label_smoothing}")


@dataclass(frozen=True, kw_only=True)
class ShopReport:
    """What a training did.

    Attributes:
        file: The finished model.
        num_training: Texts trained on, changed copies included.
        num_validation: Texts kept for validation.
        before: Validation loss, accuracy and macro-F1 of the model as it came.
        after: The same of the finished one.
        averaged: Which seeds are in it.
    """

    file: Path
    num_training: int
    num_validation: int
    before: dict[str, float]
    after: dict[str, float]
    averaged: list[int]


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """Token ids, allowed stars (N, 5) and classes of texts."""

    ids: list[list[int]]
    mask: np.ndarray
    label: np.ndarray


def train_shop_model(
    start: Callable[[], TrainedModel],
    labelled: LabelledTexts,
    out: Path,
    config: ShopTraining,
    *,
    device: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
    parallel: Parallel = ALONE,
) -> ShopReport:
    """Train, or go on training.

    Args:
        start: Loads the model to begin from; called once a seed.
        labelled: Texts and classes.
        out: Folder of checkpoints and of `review_model.safetensors`.
        config: How.
        device: Torch device; bfloat16 on CUDA.
        progress: Called with steps done and steps in all, over all seeds.
        parallel: Who else trains; the first process alone writes files and reports progress.

    Raises:
        BadInputError: If the folder holds another training.
        NotDecidableError: If there are too few texts or only one class.
    """
    out.mkdir(parents=True, exist_ok=True)
    trained = start()
    train, valid, settings = _split(trained, labelled, config)
    before = _judge(trained.model.to(device).eval(), valid, device)
    states = []
    for number in range(config.seeds):
        if number:
            trained = start()
        folder = out if config.seeds == 1 else out / f"seed-{number}"
        states.append(
            _train_one(
                trained,
                train,
                valid,
                folder,
                config,
                settings,
                seed=config.seed + number,
                device=device,
                progress=lambda done, total, n=number: progress(
                    n * total + done, config.seeds * total
                ),
                parallel=parallel,
            )
        )

    def loss(state: dict[str, torch.Tensor]) -> float:
        trained.model.load_trained_state(state)
        return _judge(trained.model.to(device), valid, device)["loss"]

    soup, chosen, _ = greedy_soup(states, loss)
    trained.model.load_trained_state(soup)
    model = trained.model.to(device).eval()
    set_star_temperature(model, valid.ids, valid.mask, device=device)
    after = _judge(model, valid, device)
    if parallel.is_first:
        save_model(out / MODEL_FILE, trained)
        for number in range(config.seeds):
            folder = out if config.seeds == 1 else out / f"seed-{number}"
            (folder / _BEST).unlink(missing_ok=True)
            if folder != out:
                folder.rmdir()
    return ShopReport(
        file=out / MODEL_FILE,
        num_training=len(train.ids),
        num_validation=len(valid.ids),
        before=before,
        after=after,
        averaged=sorted(chosen),
    )


def _split(
    trained: TrainedModel, labelled: LabelledTexts, config: ShopTraining
) -> tuple[_Rows, _Rows, dict[str, Any]]:
    """Return training rows, validation rows, and what makes this training another one."""
    texts = [clean_text(text) for text in labelled.texts]
    first = {text: row for row, text in reversed(list(enumerate(texts))) if text}
    rows = np.array(sorted(first.values()), dtype=np.int64)
    if len(rows) < _LEAST_TEXTS or len(np.unique(labelled.label[rows])) < 2:
        raise NotDecidableError(
            f"{len(rows)} different texts with labels of {len(np.unique(labelled.label[rows]))} "
            f"classes are too few to train on: at least {_LEAST_TEXTS} texts and two classes"
        )
    # By the words of each text, so that the same text is always on the same side.
    share = np.array([int(text_key(f"{config.seed} {texts[row]}")[:8], 16) / 2**32 for row in rows])
    num_valid = max(1, round(config.validation_share * len(rows)))
    order = np.argsort(share, kind="stable")
    valid, train = np.sort(rows[order[:num_valid]]), np.sort(rows[order[num_valid:]])
    seen, label = [texts[row] for row in train], labelled.label[train]
    if config.augment:
        copies = augmented(seen, AugmentConfig(copies=config.augment), seed=config.seed)
        label = np.concatenate([label, label[[row for row, _ in copies]]])
        seen += [text for _, text in copies]
    digest = text_key("\0".join([*seen, *(texts[row] for row in valid)]) + str(label.tolist()))
    return (
        _rows(trained, seen, label, config),
        _rows(trained, [texts[row] for row in valid], labelled.label[valid], config),
        {"texts": digest, **asdict(config)},
    )


def _rows(
    trained: TrainedModel, texts: list[str], label: np.ndarray, config: ShopTraining
) -> _Rows:
    return _Rows(
        ids=tokenise(trained.tokenizer, texts, config.max_tokens),
        mask=star_mask([_CLASSES[k] for k in label]),
        label=label,
    )


def _train_one(
    trained: TrainedModel,
    train: _Rows,
    valid: _Rows,
    folder: Path,
    config: ShopTraining,
    settings: dict[str, Any],
    *,
    seed: int,
    device: str,
    progress: Callable[[int, int], None],
    parallel: Parallel,
) -> dict[str, torch.Tensor]:
    """Train one model; return the weights of its best epoch, the untouched ones among them."""
    folder.mkdir(parents=True, exist_ok=True)
    model = trained.model
    counts = np.bincount(train.label, minlength=3)
    weights = (counts.sum() / np.maximum(1, counts * (counts > 0).sum()))[train.label]
    task = StarTask(
        name="labels",
        ids=train.ids,
        mask=train.mask,
        row_weights=weights if config.class_weights else None,
        smoothing=config.label_smoothing,
    )
    tuning = FineTuning(
        epochs=config.epochs,
        batch_tokens=config.batch_tokens,
        learning_rate=_RATES[config.method],
        head_learning_rate=max(1e-4, _RATES[config.method]),
        distilled_share=0.0 if config.method == "heads" else 0.25,
        bf16=device.startswith("cuda"),
        seed=seed,
    )
    settings = settings | {"seed_of_this": seed}
    _prepare(model, config, seed)
    an_epoch = len(schedule_batches([task], tuning)) // config.epochs
    best = _Best(folder / _BEST, settings, writes=parallel.is_first)
    if best.state is None:
        best.offer(_merged_state(model), _judge(model.to(device).eval(), valid, device)["loss"])
        model.train()

    def stop(step: int) -> bool:
        if step % an_epoch:
            return False
        model.eval()
        better = best.offer(_merged_state(model), _judge(model, valid, device)["loss"])
        model.train()
        best.waited = 0 if better else best.waited + 1
        return parallel.agreed(best.waited >= config.patience)

    fine_tune(
        model,
        [task],
        tuning,
        device=device,
        resume=last_checkpoint(folder, settings),
        on_step=lambda step: progress(step.number, step.total) if parallel.is_first else None,
        on_checkpoint=(
            keep_every(folder, _CHECKPOINT_STEPS, settings)
            if parallel.is_first
            else lambda state, step: None
        ),
        stop=stop,
        parallel=parallel,
    )
    if parallel.is_first:
        forget_checkpoint(folder)
    _merge(model)
    assert best.state is not None
    return best.state


class _Best:
    """The weights with the least validation loss, kept in a file until the training is over."""

    def __init__(self, path: Path, settings: dict[str, Any], *, writes: bool) -> None:
        self._path = path
        self._writes = writes
        self._settings = settings
        self.state: dict[str, torch.Tensor] | None = None
        self._loss = float("inf")
        self.waited = 0
        if path.exists():
            kept = torch.load(path, map_location="cpu")
            if kept["settings"] != settings:
                raise BadInputError(
                    f"{path.parent} holds a training with other settings or texts: name another "
                    "folder, give the same to go on, or remove it"
                )
            self.state, self._loss = kept["state"], kept["loss"]

    def offer(self, state: dict[str, torch.Tensor], loss: float) -> bool:
        """Keep weights that are better than all before; tell whether they are."""
        if loss >= self._loss:
            return False
        self.state, self._loss = state, loss
        if not self._writes:
            return True
        part = self._path.with_suffix(".part")
        torch.save({"settings": self._settings, "state": state, "loss": loss}, part)
        part.replace(self._path)
        return True


def _prepare(model: ReviewModel, config: ShopTraining, seed: int) -> None:
    """Put adapters in, or freeze the encoder."""
    if config.method == "heads":
        model.encoder.requires_grad_(False)
    if config.method == "lora":
        from peft import LoraConfig, get_peft_model

        torch.manual_seed(seed)
        adapters = LoraConfig(
            r=config.lora_rank,
            lora_alpha=2 * config.lora_rank,
            lora_dropout=0.05,
            target_modules="all-linear",
        )
        with warnings.catch_warnings():
            # peft asks transformers by a property's old name.
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
            model.encoder = get_peft_model(model.encoder, adapters)  # type: ignore[arg-type]


def _merge(model: ReviewModel) -> None:
    """Put adapters into the layers they adapt, if there are any."""
    merge = getattr(model.encoder, "merge_and_unload", None)
    if merge is not None:
        model.encoder = merge()


def _merged_state(model: ReviewModel) -> dict[str, torch.Tensor]:
    """Return the weights as they would be saved now, adapters merged, on the CPU."""
    merged = model
    if hasattr(model.encoder, "merge_and_unload"):
        merged = copy.deepcopy(model)
        _merge(merged)
    return {name: t.detach().cpu().clone() for name, t in merged.trained_state().items()}


@torch.no_grad()
def _judge(model: ReviewModel, rows: _Rows, device: str) -> dict[str, float]:
    """Return validation loss, accuracy and macro-F1 over the classes there are."""
    summary = run_texts(model, rows.ids, device).summary
    logits = model.stars(summary.to(device)).float().cpu()
    by_star = logits.softmax(1).numpy()
    by_class = np.stack([by_star[:, :2].sum(1), by_star[:, 2], by_star[:, 3:].sum(1)], axis=1)
    kept = np.unique(rows.label)
    predicted = by_class[:, kept].argmax(1)
    actual = np.searchsorted(kept, rows.label)
    return {
        "loss": set_likelihood_loss(logits, torch.from_numpy(rows.mask)).item(),
        "accuracy": float((predicted == actual).mean()),
        "macro_f1": macro_f1(predicted, actual, len(kept)),
    }
