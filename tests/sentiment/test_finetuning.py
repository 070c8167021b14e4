import numpy as np
import pytest
import torch
from tiny_model import tiny_encoder, tiny_model, tokenizer

from sentiment.batching import padded
from sentiment.finetuning import FineTuning, Step, fine_tune, schedule_batches
from sentiment.review_model import ReviewModel
from sentiment.tasks import EmotionTask, StarTask, tokenise
from sentiment.training import star_mask

WORDS = {"good": 5, "great": 5, "bad": 1, "awful": 1}
TEXTS = [f"{word} {thing}" for word in WORDS for thing in ("strap", "book", "phone", "shirt")]
IDS = tokenise(tokenizer(), TEXTS, 16)
STARS = StarTask(
    name="stars", ids=IDS, mask=star_mask([(WORDS[text.split()[0]],) for text in TEXTS])
)
FELT = EmotionTask(
    name="emotions", ids=IDS[:6], labels=np.eye(3, dtype=bool)[np.arange(6) % 3], weight=0.2
)
FAST = FineTuning(epochs=2, batch_tokens=24, learning_rate=5e-3, head_learning_rate=2e-2)


def losses(model: ReviewModel, config: FineTuning, tasks: list | None = None) -> list[Step]:
    steps: list[Step] = []
    fine_tune(model, tasks or [STARS, FELT], config, device="cpu", on_step=steps.append)
    return steps


def test_every_text_of_every_task_comes_once_an_epoch() -> None:
    steps = schedule_batches([STARS, FELT], FAST)
    for number, task in enumerate((STARS, FELT)):
        rows = np.concatenate([rows for which, rows in steps if which == number])
        assert np.bincount(rows).tolist() == [2] * len(task.ids)
    assert all(
        max(len((STARS, FELT)[which].ids[row]) for row in rows) * len(rows) <= 24
        for which, rows in steps
    )
    again = schedule_batches([STARS, FELT], FAST)
    assert [(w, r.tolist()) for w, r in steps] == [(w, r.tolist()) for w, r in again]


def test_each_pass_reads_its_own_share_of_the_texts() -> None:
    config = FineTuning(epochs=4, batch_tokens=24, share=0.5)
    rows = [rows for _, rows in schedule_batches([STARS], config)]
    counts = np.bincount(np.concatenate(rows), minlength=len(IDS))
    assert counts.sum() == 4 * len(IDS) // 2
    assert counts.max() > 2
    assert len(np.flatnonzero(counts)) > len(IDS) // 2


def test_it_learns_and_keeps_word_embeddings() -> None:
    model = tiny_model()
    before = {name: t.detach().clone() for name, t in model.encoder.named_parameters()}
    steps = losses(model, FineTuning(**{**vars(FAST), "epochs": 15}), [STARS])
    assert np.mean([s.loss for s in steps[-4:]]) < 0.2 * np.mean([s.loss for s in steps[:4]])
    assert not model.training
    for name, tensor in model.encoder.named_parameters():
        assert torch.equal(tensor, before[name]) is name.startswith("embeddings."), name
    assert [step.number for step in steps] == list(range(1, steps[0].total + 1))


def test_distillation_holds_the_embedding_to_the_base() -> None:
    def drift(weight: float) -> float:
        model, base = tiny_model(), tiny_encoder()
        config = FineTuning(**{**vars(FAST), "epochs": 15, "distillation": weight})
        fine_tune(model, [STARS], config, device="cpu")
        ids_BL, mask_BL = padded(IDS, "cpu")
        with torch.no_grad():
            found = model.embed(model.encode(ids_BL, mask_BL))
            hidden = base(input_ids=ids_BL, attention_mask=mask_BL).last_hidden_state
            mean = (hidden * mask_BL.unsqueeze(-1)).sum(1) / mask_BL.sum(1, keepdim=True)
            return 1 - torch.cosine_similarity(found, mean).mean().item()

    assert drift(20.0) < 0.5 * drift(0.0)


def test_a_reference_is_kept_instead_of_the_model_before() -> None:
    ids_BL, mask_BL = padded(IDS, "cpu")
    reference = tiny_model(seed=1).eval()
    with torch.no_grad():
        wanted = reference.embed(reference.encode(ids_BL, mask_BL))

    def distance(of: ReviewModel | None) -> float:
        model = tiny_model()
        config = FineTuning(**{**vars(FAST), "epochs": 30, "distillation": 20.0})
        fine_tune(model, [STARS], config, device="cpu", reference=of)
        with torch.no_grad():
            return 1 - (model.embed(model.encode(ids_BL, mask_BL)) * wanted).sum(1).mean().item()

    assert distance(reference) < 0.5 * distance(None)


def test_going_on_from_a_checkpoint_equals_never_having_stopped() -> None:
    whole, kept = tiny_model(), {}

    def keep(state, step: int) -> None:
        if step == 3:
            # A checkpoint goes through a file, which copies it.
            kept.update({"state": _copied(state())})

    fine_tune(whole, [STARS, FELT], FAST, device="cpu", on_checkpoint=keep)
    seen: list[Step] = []
    resumed = tiny_model(seed=1)
    resumed.encoder.load_state_dict(tiny_encoder().state_dict())
    fine_tune(resumed, [STARS, FELT], FAST, device="cpu", resume=kept["state"], on_step=seen.append)
    assert seen[0].number == 4
    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], tensor, atol=1e-6, rtol=1e-5)


def test_the_base_is_read_on_a_share_of_the_batches() -> None:
    def distances(share: float) -> list[float]:
        config = FineTuning(**{**vars(FAST), "distilled_share": share})
        return [step.distance for step in losses(tiny_model(), config)]

    assert np.isnan(distances(0.0)).all()
    assert not np.isnan(distances(1.0)).any()


def test_padding_by_hand() -> None:
    ids_BL, mask_BL = padded([[7], [8, 9]], "cpu")
    assert ids_BL.tolist() == [[7, 0], [8, 9]]
    assert mask_BL.tolist() == [[1, 0], [1, 1]]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"warm_up": 2.0}, "warm_up must be within"),
        ({"share": 0.0}, "share must be within"),
    ],
)
def test_a_config_out_of_range_is_refused(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FineTuning(**wrong)


def _copied(state: dict) -> dict:
    import io

    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer)
