import pytest

from sentiment.language import detect_language


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The sound is great and it was cheap", "en"),
        ("¯\\_(ツ)_/¯ I love this and it works", "en"),
        ("I bought the 茶 for my mother and she likes it very much", "en"),
        ("音质很好，但是线太短", "zh"),
        ("这款 Sony WH-1000XM5 耳机 noise cancelling 很好", "zh"),
        ("Apple iPhone 手机不错", "zh"),
        ("音質很好，但是線太短", "zh"),
        ("优の良品很好吃", "zh"),
        ("音がとても良いです", "ja"),
        ("イヤホン", "ja"),
        ("Sony のヘッドホンはとても良い", "ja"),
        ("소리가 정말 좋아요", "ko"),
        ("Samsung 이어폰 정말 좋아요", "ko"),
        ("Звук отличный, но провод короткий", "ru"),
        ("Отличный товар из магазина 好", "ru"),
        ("الصوت ممتاز لكن السلك قصير", "ar"),
        ("Très bon produit que je recommande vivement", "und"),
        ("Sehr guter Klang, aber etwas kurzes Kabel", "und"),
    ],
)
def test_language_of_a_sentence(text: str, language: str) -> None:
    assert detect_language(text) == language


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("", "und"),
        ("!!! 123 ...", "und"),
        ("ok", "en"),
        ("Superb", "en"),
        ("Muy bueno", "en"),  # too short to tell
        ("好", "zh"),
        ("はい", "ja"),
        ("네", "ko"),
        ("да", "ru"),
        ("جيد", "ar"),
    ],
)
def test_language_of_next_to_nothing(text: str, language: str) -> None:
    assert detect_language(text) == language
