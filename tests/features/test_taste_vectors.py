"""Where users lie among texts: by what they bought, how they felt, what they wrote, and when."""

import numpy as np
import polars as pl
import pytest
from rows import day, events, reviews, signals

from features.histories import purchase_history
from features.taste_vectors import TasteConfig, item_vectors, user_taste_vectors
from features.text_vectors import item_text_vectors
from features.visibility import everything
from sentiment.schema import EMBEDDING_DIM

AS_OF = day(100)
SILENT = TasteConfig(own_words=0.0)


def cosines(
    done: list[dict], said: list[dict], felt: dict[str, float], config: TasteConfig = SILENT
) -> dict[str, list[float]]:
    """Cosine of each user's taste with items a, b, c, each written about by a user of its own."""
    texts = [
        {"review_id": f"t{item}", "user_id": f"writer {item}", "item_id": item, "day": 1}
        for item in "abc"
    ]
    written = reviews(*texts, *said)
    scored = signals(dict.fromkeys(("ta", "tb", "tc"), 0.0) | felt).lazy()
    visible = everything(events(*done), written, as_of=AS_OF)
    ids = ["a", "b", "c"]
    items = item_vectors(ids, item_text_vectors(ids, visible, scored, None))
    found = user_taste_vectors(purchase_history(visible, scored), visible, scored, items, config)
    assert found["user_id"].is_sorted()
    near = found["vector"].to_numpy() @ items["vector"].to_numpy().T
    assert np.linalg.norm(found["vector"].to_numpy(), axis=1) == pytest.approx(1.0)
    return dict(zip(found["user_id"], near.tolist(), strict=True))


def test_a_user_is_near_what_they_bought() -> None:
    near = cosines([{"user_id": "u", "item_id": "b", "day": 9}], [], {})
    assert near["u"] == pytest.approx([-0.5, 1.0, -0.5])
    assert set(near) == {"u"}


def test_what_was_hated_and_what_was_long_ago_weigh_less() -> None:
    done = [
        {"user_id": user, "item_id": item, "day": when}
        for user, item, when in [("u", "a", 90), ("u", "b", 90), ("v", "a", 90), ("v", "b", 1)]
    ]
    said = [{"review_id": "hate", "user_id": "u", "item_id": "b", "day": 91}]
    near = cosines(done, said, {"hate": -1.0})
    # b's own text is two reviews now; u's a weighs 1, b 1 + 0.5 * -1.
    assert near["u"][0] > near["u"][1]
    assert near["v"][0] > near["v"][1] > near["v"][2]


def test_own_words_count_as_far_as_they_are_asked_to() -> None:
    done = [{"user_id": "u", "item_id": "a", "day": 90}]
    said = [{"review_id": "own", "user_id": "u", "item_id": "c", "day": 90}]
    words = [
        cosines(done, said, {"own": 0.0}, TasteConfig(own_words=share))["u"]
        for share in (0.0, 0.5, 2.0)
    ]
    assert words[0][2] < words[1][2] < words[2][2]
    assert words[0][0] > words[1][0] > words[2][0]


def test_users_without_texts_and_shops_without_any_have_no_vectors() -> None:
    silent = signals({}).lazy()
    visible = everything(events({"user_id": "u", "item_id": "a", "day": 1}), reviews(), as_of=AS_OF)
    items = item_vectors(["a"], item_text_vectors(["a"], visible, silent, None))
    assert items.is_empty()
    found = user_taste_vectors(purchase_history(visible, silent), visible, silent, items)
    assert found.is_empty()
    assert found.schema["vector"] == pl.Array(pl.Float32, EMBEDDING_DIM)


@pytest.mark.parametrize(
    "wrong", [{"half_life_days": 0}, {"sentiment_strength": 1.1}, {"own_words": -0.1}]
)
def test_what_makes_no_sense_is_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TasteConfig(**wrong)
