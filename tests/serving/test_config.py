from pathlib import Path

import pytest

from serving.config import ServeSection, is_loopback, load_serve_file, with_flags
from serving.errors import ServeConfigError


def test_without_a_file_the_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = load_serve_file(None)
    assert file.store.path == "shop"
    assert (file.serve.host, file.serve.port, file.serve.replicas) == ("127.0.0.1", 8000, 1)


def test_the_file_of_the_folder_is_read_and_other_sections_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (
        '[store]\npath = "here"\n[serve]\nport = 9000\n[train]\nepochs = 1\n[score]\nthreads = 4\n'
    )
    Path("sentirec.toml").write_text(text)
    file = load_serve_file(None)
    assert (file.store.path, file.serve.port) == ("here", 9000)
    # Those of `[score]` are of scoring jobs: two that wait for each other read no text sooner.
    assert (file.score.threads, file.serve.sentiment_threads) == (4, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[serve]\nprot = 1\n", r"unknown key serve\.prot; allowed there: cors_origins"),
        ("[serve]\nport = 0\n", r"serve\.port: .* not 0"),
        ("[serve]\npoll_interval_s = nan\n", r"serve\.poll_interval_s"),
        ("[rerank]\nbrand_cup = 1\n", r"unknown key rerank\.brand_cup; .*there: brand_cap"),
        ("[[rerank.rules]]\nfactr = 2\n", r"unknown key rerank\.rules\.0\.factr; .*: brands, cat"),
        ("[rerank]\ndiversity = 2\n", r"rerank\.diversity: .* not 2"),
        ("[[rerank.rules]]\nfactor = 2\n", r"rerank\.rules\.0: .*names items"),
        ("[serve", "is no TOML file"),
        ("[event_log]\naddres = 'x'\n", r"unknown key event_log\.addres; .*there: address"),
        ("[[serve.experiments]]\nname = 'a'\nvariants = []\n", r"experiments\.0\.variants"),
        (
            "[[serve.experiments]]\nname = 'a'\n[[serve.experiments.variants]]\nname = 'x'\n"
            "wait = 1\n[[serve.experiments.variants]]\nname = 'y'\nweight = 1\n",
            r"unknown key serve\.experiments\.0\.variants\.0\.wait; .*there: bundle, name",
        ),
    ],
)
def test_a_wrong_file_is_named_with_its_key(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "serve.toml"
    path.write_text(text)
    with pytest.raises(ServeConfigError, match=message):
        load_serve_file(path)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ServeConfigError, match=r"cannot read .*none"):
        load_serve_file(tmp_path / "none.toml")


def test_flags_go_before_the_file() -> None:
    section = with_flags(ServeSection(port=9000, replicas=2), port=9001, host=None)
    assert (section.port, section.replicas, section.host) == (9001, 2, "127.0.0.1")
    with pytest.raises(ServeConfigError, match=r"replicas: .* not 0"):
        with_flags(ServeSection(), replicas=0)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.2", False),
        ("shop.example", False),
    ],
)
def test_what_is_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_a_password_in_the_wrong_place_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "serve.toml"
    path.write_text('event_log = "redis://:secret@host/0"\n')
    with pytest.raises(ServeConfigError, match="event_log") as refused:
        load_serve_file(path)
    assert "secret" not in str(refused.value)


def test_experiments_whose_exposures_are_not_kept_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "serve.toml"
    path.write_text(
        '[serve]\nexposures = "none"\n[[serve.experiments]]\nname = "e"\n'
        'variants = [{ name = "a", weight = 1 }, { name = "b", weight = 1 }]\n'
    )
    with pytest.raises(ServeConfigError, match="experiments need exposures"):
        load_serve_file(path)
