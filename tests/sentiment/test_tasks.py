from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_model import tiny_model, tokenizer
from torch import Tensor

from sentiment.batching import padded
from sentiment.review_model import BEGIN, INSIDE, OUTSIDE, Encoded
from sentiment.tasks import (
    EmotionTask,
    NeedTask,
    Span,
    StarTask,
    aspect_task,
    halves_task,
    tokenise,
)

TOKENIZER = tokenizer()
TEXTS = ["The battery life is great", "Unputdownable screen"]
TERMS = [[Span(start=4, end=16, polarity=2)], [Span(start=14, end=20, polarity=0)]]


def encoded_of(ids: list[list[int]]) -> tuple:
    model = tiny_model().eval()
    with torch.no_grad():
        return model, model.encode(*padded(ids, "cpu"))


def test_terms_are_put_onto_tokens() -> None:
    task = aspect_task("aspects", TOKENIZER, TEXTS, TERMS)
    assert task.tags[0] == [-100, OUTSIDE, BEGIN, INSIDE, OUTSIDE, OUTSIDE, -100]
    assert task.spans[0] == [(2, 4, 2)]
    screen = len(task.ids[1]) - 2
    assert task.spans[1] == [(screen, screen + 1, 0)]
    assert task.tags[1][screen] == BEGIN


def test_a_term_that_was_cut_off_is_left_out() -> None:
    task = aspect_task("aspects", TOKENIZER, TEXTS, TERMS, max_tokens=4)
    assert task.spans[0] == [(2, 3, 2)]
    assert task.spans[1] == []
    assert all(len(ids) == 4 for ids in task.ids)


def test_texts_are_cut_to_max_tokens() -> None:
    assert [len(ids) for ids in tokenise(TOKENIZER, ["one", "one two three four"], 4)] == [3, 4]


def test_the_star_loss_is_minus_log_of_what_is_possible() -> None:
    ids = tokenise(TOKENIZER, TEXTS, 16)
    mask = np.array([[1, 1, 0, 0, 0], [0, 0, 1, 0, 0]], dtype=bool)
    model, encoded = encoded_of(ids)
    with torch.no_grad():
        loss = StarTask(name="s", ids=ids, mask=mask).loss(model, encoded, np.array([0, 1]))
        p = model.stars(encoded.summary_BX).softmax(1).numpy()
    assert loss.item() == pytest.approx(-np.log([p[0, :2].sum(), p[1, 2]]).mean(), rel=1e-5)


def test_the_emotion_loss_sums_over_emotions() -> None:
    ids = tokenise(TOKENIZER, TEXTS, 16)
    labels = np.array([[True, False, True], [False, False, False]])
    model, encoded = encoded_of(ids)
    with torch.no_grad():
        task = EmotionTask(name="e", ids=ids, labels=labels)
        loss = task.loss(model, encoded, np.array([0, 1]))
        p = torch.sigmoid(model.emotions(encoded.summary_BX)).numpy()
    wanted = -np.where(labels, np.log(p), np.log(1 - p)).sum(1).mean()
    assert loss.item() == pytest.approx(wanted, rel=1e-5)


def test_the_aspect_loss_reads_real_tokens_and_given_spans() -> None:
    task = aspect_task("aspects", TOKENIZER, TEXTS, TERMS)
    rows = np.array([1, 0])
    model, encoded = encoded_of([task.ids[row] for row in rows])
    with torch.no_grad():
        loss = task.loss(model, encoded, rows)
        log_p = model.tags(encoded.tokens_BLD).log_softmax(-1).numpy()
        tags = [
            log_p[place, token, tag]
            for place, row in enumerate(rows)
            for token, tag in enumerate(task.tags[row])
            if tag >= 0
        ]
        polarity = [
            _polarity(model, encoded, place, *task.spans[row][0]) for place, row in enumerate(rows)
        ]
    assert loss.item() == pytest.approx(-np.mean(tags) - np.mean(polarity), rel=1e-5)


def test_sentences_without_terms_teach_tags_alone() -> None:
    task = aspect_task("aspects", TOKENIZER, TEXTS, [[], []])
    model, encoded = encoded_of(task.ids)
    with torch.no_grad():
        loss = task.loss(model, encoded, np.array([0, 1]))
        log_p: Tensor = model.tags(encoded.tokens_BLD).log_softmax(-1)
    outside = [log_p[b, 1 : len(ids) - 1, OUTSIDE] for b, ids in enumerate(task.ids)]
    assert loss.item() == pytest.approx(-torch.cat(outside).mean().item(), rel=1e-5)


def test_where_not_every_term_is_marked_tags_teach_nothing() -> None:
    task = aspect_task("aspects", TOKENIZER, TEXTS, TERMS, every_term=False)
    model, encoded = encoded_of(task.ids)
    with torch.no_grad():
        loss = task.loss(model, encoded, np.array([0, 1]))
        polarity = [_polarity(model, encoded, row, *task.spans[row][0]) for row in (0, 1)]
    assert loss.item() == pytest.approx(-np.mean(polarity), rel=1e-5)


def test_terms_teach_the_stars_too_where_they_agree() -> None:
    stars = np.array([[0, 0, 0, 1, 1], [1, 1, 1, 1, 1]], dtype=bool)
    task = aspect_task("aspects", TOKENIZER, TEXTS, TERMS, stars=stars)
    model, encoded = encoded_of(task.ids)
    rows = np.array([0, 1])
    with torch.no_grad():
        alone = replace(task, stars=None).loss(model, encoded, rows).item()
        p = model.stars(encoded.summary_BX).softmax(1)[0, 3:].sum().item()
        assert task.loss(model, encoded, rows).item() == pytest.approx(
            alone - np.log(p) / 2, rel=1e-4
        )


def test_halves_find_each_other_both_ways() -> None:
    texts = ["a strap that holds a guitar", "a book about the sea and ships"]
    task = halves_task("halves", TOKENIZER, [*texts, "too short"], max_tokens=16)
    assert len(task.ids) == len(task.others) == 2
    assert TOKENIZER.decode(task.ids[0]) == texts[0][: len(texts[0]) // 2].strip()
    model, first = encoded_of(task.ids)
    with torch.no_grad():
        second = model.encode(*padded(task.others, "cpu"))
        scores = model.embed(first) @ model.embed(second).T / task.temperature
        both = scores.log_softmax(1).diagonal() + scores.log_softmax(0).diagonal()
        loss = task.loss(model, first, np.array([0, 1]))
    assert loss.item() == pytest.approx(-both.mean().item() / 2, rel=1e-4)


def _polarity(model, encoded: Encoded, place: int, start: int, end: int, polarity: int) -> float:
    one = [torch.tensor([x]) for x in (place, start, end)]
    read = model.spans(encoded, *one)
    return model.span_polarity(read).log_softmax(1)[0, polarity].item()


def test_the_need_loss_is_the_mean_over_clauses() -> None:
    clauses = aspect_task("needs", TOKENIZER, TEXTS, TERMS)
    task = NeedTask(name="needs", ids=clauses.ids, spans=clauses.spans)
    model, encoded = encoded_of(task.ids)
    with torch.no_grad():
        loss = task.loss(model, encoded, np.array([0, 1]))
        alone = [
            -model.needs(model.spans(encoded, *(torch.tensor([x]) for x in (row, start, end))))
            .log_softmax(1)[0, of_class]
            .item()
            for row, spans in enumerate(task.spans)
            for start, end, of_class in spans
        ]
    assert len(alone) == 2
    assert loss.item() == pytest.approx(np.mean(alone), rel=1e-5)


def test_texts_without_clauses_teach_nothing() -> None:
    task = NeedTask(name="needs", ids=tokenise(TOKENIZER, TEXTS, 16), spans=[[], []])
    model, encoded = encoded_of(task.ids)
    assert task.loss(model, encoded, np.array([0, 1])).item() == 0
