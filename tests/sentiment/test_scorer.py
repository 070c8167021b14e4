import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from sentiment.aspects import ASPECTS_FILE
from sentiment.errors import AspectListError, NotANumberError, WeightsError
from sentiment.needs import NEED_KINDS
from sentiment.products import cpu_multiplies_bf16
from sentiment.schema import ReviewSignals
from sentiment.scorer import ENGLISH_MODEL, ReviewScorer, ScorerConfig, model_version

POSITIVE = [
    "I love this guitar strap, it is comfortable and strong.",
    "Excellent quality and it arrived quickly.",
    "Works perfectly, highly recommended!",
    "The best headphones I have ever owned.",
    "My daughter is so happy with it.",
    "Great sound for the price, five stars.",
    "Beautiful colour and very soft fabric.",
    "Easy to install and works like a charm.",
    "Amazing product, I will buy it again.",
    "Very pleased with this purchase.",
    "Fantastic value, exceeded my expectations.",
    "Sturdy, well made and looks wonderful.",
    "质量很好，非常满意",
    "音质很棒，强烈推荐",
    "物流很快，包装精美，好评",
    "孩子非常喜欢，下次还会买",
    "性价比很高，值得购买",
    "味道很好，全家都爱吃",
    "衣服很舒服，面料柔软，很喜欢",
    "手机运行流畅，非常好用",
    "这本书很精彩，值得一读",
    "效果很好，超出预期",
    "做工精细，很漂亮，满意",
    "酒店干净，服务热情，位置方便",
    "房间很干净，服务很好，下次还来",
]
NEGATIVE = [
    "Terrible quality, it broke after one day.",
    "Waste of money, do not buy this.",
    "It stopped working within a week and I want a refund.",
    "The worst headphones I have ever owned.",
    "Very disappointed, it looks nothing like the picture.",
    "Cheap plastic junk, returned it immediately.",
    "Arrived damaged and nobody answered my emails.",
    "Awful smell, I had to throw it away.",
    "Does not work at all, completely useless.",
    "Horrible sound and the cable fell apart.",
    "Poor fit, uncomfortable and badly made.",
    "I regret this purchase, it is garbage.",
    "质量太差了，用了一天就坏了",
    "非常失望，不会再买",
    "垃圾产品，浪费钱",
    "客服态度恶劣，差评",
    "音质很差，千万别买",
    "酒店又脏又吵，服务很差",
    "衣服掉色严重，太差了",
    "收到就是坏的，要求退货",
    "水果都烂了，不新鲜，差评",
    "手机经常死机，很卡，后悔买了",
    "味道难吃，上当了",
    "假货，骗人的，大家不要买",
]


def reviews(texts: list[str | None], titles: list[str | None] | None = None) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "review_id": [f"r{row}" for row in range(len(texts))],
            "title": titles or [None] * len(texts),
            "text": texts,
        },
        schema={"review_id": pl.String, "title": pl.String, "text": pl.String},
    )


@pytest.fixture(scope="module")
def plain(scorer: ReviewScorer) -> pl.DataFrame:
    """Signals of the plain sentences, positive ones first."""
    return scorer.score([*POSITIVE, *NEGATIVE])


def test_plain_sentences_get_the_right_sign(plain: pl.DataFrame) -> None:
    signs = np.sign(plain["polarity"].to_numpy())
    wanted = [1.0] * len(POSITIVE) + [-1.0] * len(NEGATIVE)
    texts = [*POSITIVE, *NEGATIVE]
    assert [t for t, sign, want in zip(texts, signs, wanted, strict=True) if sign != want] == []
    assert set(plain["language"]) == {"en", "zh"}


@pytest.mark.xfail(reason="the shipped Chinese model gets it wrong", strict=True)
@pytest.mark.parametrize("text", ["一点也不差，很满意"])
def test_plain_sentences_that_are_misread(scorer: ReviewScorer, text: str) -> None:
    assert scorer.score([text])["polarity"].item() > 0


def test_columns_follow_from_the_probabilities(plain: pl.DataFrame) -> None:
    negative, neutral, positive = (
        plain[name].to_numpy() for name in ("p_negative", "p_neutral", "p_positive")
    )
    np.testing.assert_allclose(negative + neutral + positive, 1.0, atol=1e-5)
    np.testing.assert_allclose(plain["polarity"].to_numpy(), positive - negative, atol=1e-6)
    assert ((plain["stars_expected"] > 3) == (plain["polarity"] > 0)).all()


def test_embeddings_have_unit_length(plain: pl.DataFrame) -> None:
    lengths = np.linalg.norm(np.stack(plain["embedding"].to_list()), axis=1)
    np.testing.assert_allclose(lengths, 1.0, atol=1e-5)


def test_reviews_keep_the_contract_and_the_order(scorer: ReviewScorer) -> None:
    frame = reviews(["Broke at once.", None, "质量很好", "", "Broke at once.", "Привет мир"])
    signals = scorer.score_reviews(frame)
    ReviewSignals.validate(signals)
    assert signals["review_id"].to_list() == frame["review_id"].to_list()
    assert signals["language"].to_list() == ["en", "und", "zh", "und", "en", "ru"]
    assert signals["model_version"].unique().to_list() == [scorer.version]


def test_reviews_are_scored_as_their_joined_text(scorer: ReviewScorer) -> None:
    signals = scorer.score_reviews(reviews(["It broke."], ["Bad<br/>strap"]))
    alone = scorer.score(["Bad strap. It broke."])
    assert signals.drop("review_id").equals(alone)


def test_equal_texts_get_equal_signals(scorer: ReviewScorer) -> None:
    texts: list[str | None] = ["Nice strap", "Bad", " Nice  strap ", "Nice<br>strap", "Nice strap"]
    signals = scorer.score_reviews(reviews(texts)).drop("review_id")
    assert signals[[0, 2, 3, 4]].unique().height == 1
    assert not signals[0].equals(signals[1])


def test_no_reviews_give_no_rows(scorer: ReviewScorer) -> None:
    signals = scorer.score_reviews(reviews([]))
    ReviewSignals.validate(signals)
    assert signals.height == scorer.score([]).height == 0


@pytest.mark.parametrize("text", ["", "  \n", "<br/>", "\x00\u200b", "\u200d", "http://x.y/z"])
def test_nothing_to_read_is_neutral_without_embedding(scorer: ReviewScorer, text: str) -> None:
    row = scorer.score([text]).row(0, named=True)
    assert (row["p_negative"], row["p_neutral"], row["p_positive"]) == (0.0, 1.0, 0.0)
    assert (row["polarity"], row["intensity"], row["stars_expected"]) == (0.0, 0.0, 3.0)
    assert row["embedding"] is None
    assert row["truncated"] is False


@pytest.mark.parametrize("text", ["ok", "!!", "A+++", "好", "很好", "I love it. 好"])
def test_texts_too_short_for_a_clause_are_read(scorer: ReviewScorer, text: str) -> None:
    signals = scorer.score([text])
    assert signals["embedding"].is_not_null().all()
    assert signals["p_neutral"].item() < 1.0


def test_windows_are_no_longer_than_a_model_reads() -> None:
    text = "这个耳机音质很好，但是戴久了耳朵疼。" * 20
    most, more = (ReviewScorer.load(ScorerConfig(max_tokens=tokens)) for tokens in (128, 512))
    assert more.score([text])["polarity"].equals(most.score([text])["polarity"])


def test_only_texts_beyond_the_last_window_are_truncated(scorer: ReviewScorer) -> None:
    config = scorer.config
    half = config.max_windows * (config.max_tokens - 2) // 2
    texts = {
        "short": False,
        "good strap. " * 60: False,
        "good strap. " * 200: True,
        "很好": False,
        "很好" * half: False,
        "很好 " * half: False,
        "很好" * half + "吗": True,
    }
    assert scorer.score(list(texts))["truncated"].to_list() == list(texts.values())


def test_the_end_of_a_long_review_counts(scorer: ReviewScorer) -> None:
    opening = "It came in a brown box with a cable and a small bag. " * 12
    praised, blamed = scorer.score(
        [
            opening + "I love it, best purchase ever!" * 3,
            opening + "Terrible, it broke at once." * 3,
        ]
    )["polarity"]
    assert praised > blamed + 0.2


def test_company_in_the_batch_changes_nothing(scorer: ReviewScorer, plain: pl.DataFrame) -> None:
    texts = [*POSITIVE, *NEGATIVE]
    for row in (0, 12, 26, 40):
        alone = scorer.score([texts[row]])
        for name in ("p_negative", "p_neutral", "p_positive", "stars_expected", "embedding"):
            found, wanted = alone[name].to_numpy()[0], plain[name].to_numpy()[row]
            np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("音がとても良いです", "ja"),
        ("소리가 정말 좋아요", "ko"),
        ("Звук отличный, но провод короткий", "ru"),
        ("الصوت ممتاز لكن السلك قصير", "ar"),
        ("Très bon produit que je recommande vivement", "und"),
    ],
)
def test_a_language_without_a_model_is_marked(
    scorer: ReviewScorer, text: str, language: str
) -> None:
    row = scorer.score([text]).row(0, named=True)
    assert row["language"] == language
    assert np.linalg.norm(row["embedding"]) == pytest.approx(1.0, abs=1e-5)
    assert row["emotions"] is not None


def test_chinese_vectors_are_of_unit_length(scorer: ReviewScorer) -> None:
    vector = np.array(scorer.score(["质量很好"])["embedding"][0].to_list())
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)


def test_version_moves_with_what_moves_a_value_alone(tmp_path: Path) -> None:
    config = ScorerConfig(max_tokens=48)
    version = model_version(config)
    assert version.startswith("all-MiniLM-L6-v2-")
    for same in ({"batch_tokens": 99}, {"precision": "bf16"}, {"device": "cuda:0"}):
        assert model_version(replace(config, **same)) == version
    aspects = tmp_path / "aspects.toml"
    aspects.write_text(ASPECTS_FILE.read_text("utf-8") + "\n# another file\n", "utf-8")
    for other in ({"max_tokens": 49}, {"max_windows": 3}, {"aspects": aspects}):
        assert model_version(replace(config, **other)) != version


def test_start_up_chooses_a_precision_and_names_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "sentiment.scorer")
    ReviewScorer.load(ScorerConfig())
    assert f"on cpu in {'bf16' if cpu_multiplies_bf16() else 'fp32'}" in caplog.text


@pytest.mark.skipif(not cpu_multiplies_bf16(), reason="this CPU does not multiply bfloat16")
def test_bfloat16_moves_no_signal_by_more_than_a_hundredth(plain: pl.DataFrame) -> None:
    found = ReviewScorer.load(ScorerConfig(max_tokens=48)).score(POSITIVE + NEGATIVE)
    for name in ("p_negative", "p_neutral", "p_positive", "polarity", "intensity"):
        np.testing.assert_allclose(found[name], plain[name], atol=0.01)
    # The scale of stars is four wide, that of a polarity two.
    np.testing.assert_allclose(found["stars_expected"], plain["stars_expected"], atol=0.02)
    ours, theirs = (frame["emotions"].struct.unnest().to_numpy() for frame in (found, plain))
    np.testing.assert_allclose(ours, theirs, atol=0.01)
    ours, theirs = (np.array(frame["embedding"].to_list()) for frame in (found, plain))
    np.testing.assert_allclose(ours, theirs, atol=0.01)


@pytest.mark.parametrize("name", ["english", "chinese"])
def test_a_missing_model_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(WeightsError, match=r"nothing\.safetensors"):
        ReviewScorer.load(replace(ScorerConfig(), **{name: tmp_path / "nothing.safetensors"}))


def test_a_missing_list_of_aspects_is_named(tmp_path: Path) -> None:
    with pytest.raises(AspectListError, match=r"none\.toml"):
        ReviewScorer.load(ScorerConfig(aspects=tmp_path / "none.toml"))


def signs(scorer: ReviewScorer, texts: list[str]) -> list[float]:
    return np.sign(scorer.score(texts)["polarity"].to_numpy()).tolist()


def test_negation_turns_the_sign(scorer: ReviewScorer) -> None:
    texts = [
        "Not bad at all, I am very happy with it.",
        "I am not happy with this at all.",
        "This is not good.",
        "I can't complain, it works great.",
        "It never works.",
    ]
    assert signs(scorer, texts) == [1, -1, -1, 1, -1]


def test_negation_in_chinese(scorer: ReviewScorer) -> None:
    assert signs(scorer, ["买了以后很不高兴，不推荐"]) == [-1]


def test_contrast_is_heard_on_both_sides(scorer: ReviewScorer) -> None:
    texts = ["Great sound, but it broke in a week and they refused a refund.", "Great sound!"]
    contrast, plain = scorer.score(texts).iter_rows(named=True)
    assert contrast["polarity"] < plain["polarity"] - 0.5


def test_html_emoji_and_repeated_letters_say_the_same(scorer: ReviewScorer) -> None:
    assert signs(scorer, ["<p>I <b>love</b> this strap!</p>", "Sooooooo goooood!!!!!!!"]) == [1, 1]
    tagged, plain = scorer.score(["<p>I <b>love</b> it</p>", "I love it"])["polarity"]
    assert tagged == pytest.approx(plain, abs=1e-6)
    happy, angry = scorer.score(["This strap \U0001f60d\U0001f60d", "This strap \U0001f621"])[
        "polarity"
    ]
    assert happy > angry + 0.3


@pytest.mark.parametrize(
    "words",
    [("man", "woman"), ("gay", "straight"), ("Muslim", "Christian"), ("black", "white"),
     ("Chinese", "German"), ("deaf", "young")],
)  # fmt: skip
def test_identity_words_say_nothing_of_a_product(
    scorer: ReviewScorer, words: tuple[str, str]
) -> None:
    texts = [f"I am a {word} customer and this strap works very well for me." for word in words]
    one, other = scorer.score(texts)["polarity"]
    assert one > 0.3
    assert other > 0.3
    assert one == pytest.approx(other, abs=0.25)


def test_aspects_are_spans_of_the_cleaned_text(scorer: ReviewScorer) -> None:
    text = "The sound is wonderful, the battery is terrible. Way too expensive."
    aspects = scorer.score([text])["aspects"][0].to_list()
    by_name = {aspect["aspect"]: aspect for aspect in aspects}
    assert {"sound", "battery", "price"} <= set(by_name)
    assert text[by_name["sound"]["start"] : by_name["sound"]["end"]] == "sound"
    assert by_name["sound"]["polarity"] > 0 > by_name["battery"]["polarity"]
    assert text[by_name["price"]["start"] : by_name["price"]["end"]] == "Way too expensive."
    assert by_name["price"]["polarity"] < 0


def test_strong_opinions_that_oppose_are_mixed(scorer: ReviewScorer) -> None:
    texts = [
        "The sound is wonderful and I love the colour. The battery is terrible and the case broke.",
        "The sound is wonderful and I love the colour.",
        "Terrible battery, and the case broke.",
    ]
    assert scorer.score(texts)["mixed"].to_list() == [True, False, False]


def test_needs_of_both_languages_have_a_kind(scorer: ReviewScorer) -> None:
    needs = scorer.score(["Good tuner, but I wish it had a light.", "很好用，要是有黑色就好了。"])[
        "needs"
    ]
    for of_text, words in zip(needs, ("I wish it had a light", "要是有黑色就好了"), strict=True):
        (need,) = of_text.to_list()
        assert need["text"] == words
        assert need["kind"] in NEED_KINDS


def test_each_sentence_is_read_in_its_language(scorer: ReviewScorer) -> None:
    english, chinese = "I love the sound of this guitar.", "质量太差了，非常失望，要求退货。"
    row = scorer.score([f"{english} {chinese}"]).row(0, named=True)
    alone = scorer.score([english, chinese])["polarity"].to_list()
    assert alone[1] < row["polarity"] < alone[0]


def test_emotions_go_with_the_words(scorer: ReviewScorer) -> None:
    texts = ["Thank you so much, I am so grateful!", "I am furious, this makes me so angry!"]
    thanks, anger = scorer.score(texts)["emotions"].to_list()
    assert thanks["gratitude"] > 0.5 > anger["gratitude"]
    assert anger["anger"] > 0.5 > thanks["anger"]


def test_the_shipped_model_is_small_enough() -> None:
    assert ENGLISH_MODEL.stat().st_size <= 25_000_000


@pytest.mark.parametrize("of", ["stars", "embedding", "polarity"])
def test_what_is_no_number_is_no_missing_signal(scorer: ReviewScorer, of: str) -> None:
    reviews = pl.DataFrame(
        {"review_id": ["a", "b"], "title": ["", ""], "text": ["Great sound.", "Great strings."]}
    )
    prepared = scorer.prepare(reviews)
    (batch,), chinese = scorer.run(prepared)
    broken = getattr(batch, of).copy()
    broken[0] = np.nan
    with pytest.raises(NotANumberError, match="1 of 2 texts is not a number"):
        scorer.finish(prepared, [[batch._replace(**{of: broken})], chinese])
    assert scorer.finish(prepared, [[batch], chinese])["polarity"].null_count() == 0


@pytest.mark.slow
def test_a_limit_on_threads_leaves_no_signal_out() -> None:
    code = (
        "from sentiment.torch_threads import use_threads; use_threads(2)\n"
        "from sentiment.scorer import ReviewScorer, ScorerConfig\n"
        "texts = [f'Great sound, but the cable broke after {n} weeks.' for n in range(64)]\n"
        "scored = ReviewScorer.load(ScorerConfig()).score(texts)\n"
        "print(scored['polarity'].null_count(), scored['polarity'].sum())"
    )
    told = [
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"OMP_THREAD_LIMIT": limit},
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        ).stdout.split()
        for limit in ("1", "2")
    ]
    assert [num_nulls for num_nulls, _ in told] == ["0", "0"]
    assert float(told[0][1]) == pytest.approx(float(told[1][1]), abs=0.1)
