import json
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from typer.testing import CliRunner

from features.errors import StoreError
from jobs import cli, command_plugins
from jobs.config import load_config
from jobs.errors import ConfigError, GateRefusedError, MissingPartError, NotDecidableError

REVIEW = '{"user_id": "u", "item_id": "i", "rating": 5, "timestamp": 1300000000, "text": "x"}\n'


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["sentirec", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    code = ended.value.code
    return 0 if code is None else int(code)


def test_ingest_prints_a_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("reviews.jsonl").write_text(REVIEW + "{broken\n")
    assert run("ingest", "reviews.jsonl", "--store", "shop", monkeypatch=monkeypatch) == 0
    printed = capsys.readouterr().out
    assert "reviews" in printed
    assert "malformed_json" in printed
    assert Path("shop/tables/reviews").is_dir()


def test_json_on_stdout_is_alone_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("reviews.jsonl").write_text(REVIEW)
    assert run("ingest", "reviews.jsonl", "--json", "-", monkeypatch=monkeypatch) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["tables"]["reviews"]["added"] == 1
    assert "reviews" in captured.err


def test_a_bad_file_exits_2_after_the_good_ones(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("reviews.jsonl").write_text(REVIEW)
    Path("bad.csv").write_text("a,b\n1,2\n")
    arguments = ("ingest", "bad.csv", "reviews.jsonl", "--json", "out.json")
    assert run(*arguments, monkeypatch=monkeypatch) == 2
    captured = capsys.readouterr()
    assert "error: bad.csv is of no known format" in captured.err
    assert "Traceback" not in captured.err
    assert json.loads(Path("out.json").read_text())["tables"]["reviews"]["added"] == 1


def test_the_store_may_come_from_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("sentirec.toml").write_text('[store]\npath = "elsewhere"\n')
    Path("reviews.jsonl").write_text(REVIEW)
    assert run("ingest", "reviews.jsonl", monkeypatch=monkeypatch) == 0
    assert Path("elsewhere/tables/reviews").is_dir()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[store]\npth = "x"\n', r"unknown key store\.pth; allowed there: path"),
        (
            "[[rerank.rules]]\nfactr = 1\n",
            r"rerank\.rules\.0\.factr; allowed there: brands, categories",
        ),
        (
            "[shop]\n",
            "unknown key shop; allowed there: alerts, audit, destinations, event_log, ingest",
        ),
        ("[store]\npath = 3\n", r"store\.path: Input should be a valid string, not 3"),
        ("store = 3\n", r"store: Input should be a valid dictionary"),
        ("[store\n", "no TOML"),
    ],
)
def test_a_wrong_configuration_names_the_key(content: str, message: str) -> None:
    path = Path("other.toml")
    path.write_text(content)
    with pytest.raises(ConfigError, match=rf"other\.toml.*{message}"):
        load_config(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('event_log = "redis://:hunter2@host"\n', "event_log: Input should be a valid dict"),
        ('[event_log]\naddress = ["redis://:hunter2@host"]\n', r"event_log\.address: Input should"),
    ],
)
def test_a_wrong_address_is_not_shown(content: str, message: str) -> None:
    path = Path("other.toml")
    path.write_text(content)
    with pytest.raises(ConfigError, match=message) as raised:
        load_config(path)
    assert "hunter2" not in str(raised.value)


def test_the_demo_keeps_away_from_the_event_log_of_a_shop(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("sentirec.toml").write_text('[event_log]\naddress = "redis://:hunter2@host"\n')
    assert run("demo", monkeypatch=monkeypatch) == 2
    told = capsys.readouterr().err
    assert "the demo has an event log of its own" in told
    assert "hunter2" not in told


def test_a_missing_configuration_is_an_error_only_where_it_was_named() -> None:
    assert load_config(None).store.path == "shop"
    with pytest.raises(ConfigError, match="No such file"):
        load_config(Path("absent.toml"))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), 2),
        (StoreError("x"), 2),
        (GateRefusedError("x"), 3),
        (NotDecidableError("x"), 4),
        (RuntimeError("x"), None),
    ],
)
def test_exit_codes(error: Exception, code: int | None) -> None:
    assert cli.exit_code_of(error) == code


def test_usage_errors_exit_2(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("nonsense", monkeypatch=monkeypatch) == 2
    assert run("ingest", monkeypatch=monkeypatch) == 2


def _register(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    entries = {
        name: EntryPoint(name, value, command_plugins.GROUP) for name, value in values.items()
    }
    monkeypatch.setattr(command_plugins, "registered", lambda: entries)


def test_a_broken_plugin_spoils_only_its_own_command(monkeypatch: pytest.MonkeyPatch) -> None:
    _register(monkeypatch, broken="no_such_package.cli:run")
    listed = CliRunner().invoke(cli.app, ["--help"])
    assert listed.exit_code == 0
    assert "broken" in listed.output
    called = CliRunner().invoke(cli.app, ["broken"])
    assert isinstance(called.exception, MissingPartError)
    assert "cannot be loaded" in str(called.exception)


def test_a_plugin_is_a_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "plugin_for_test.py").write_text(
        "def greet(name: str, loud: bool = False) -> None:\n"
        '    """Greet somebody."""\n'
        "    print(name.upper() if loud else name)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    _register(monkeypatch, greet="plugin_for_test:greet")
    done = CliRunner().invoke(cli.app, ["greet", "ann", "--loud"])
    assert (done.exit_code, done.output) == (0, "ANN\n")
    helped = CliRunner().invoke(cli.app, ["greet", "--help"])
    assert "Greet somebody." in helped.output


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys, jobs.cli\n"
        "heavy = {'torch', 'ray', 'polars', 'deltalake', 'transformers', 'lightgbm'}\n"
        "heavy |= {'scipy', 'numba', 'httpx', 'fsspec', 'psycopg', 'matplotlib'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.strip() == "[]"


def test_features_are_described_without_a_store(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("profiles", "--describe", "--json", "-", monkeypatch=monkeypatch) == 0
    captured = capsys.readouterr()
    found = {(row["scope"], row["name"]): row for row in json.loads(captured.out)["features"]}
    assert found["user", "num_views_30d"]["window_days"] == 30
    assert found["item", "conversion"]["default"] is None
    assert found["item", "stars_smoothed_low"]["unit"] == "stars"
    assert "purchases per view" in captured.err
    assert list(Path().iterdir()) == []
