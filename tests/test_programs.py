import shutil

import pytest
from programs import needed


def test_what_is_there_is_found() -> None:
    assert needed("sh") == shutil.which("sh")


def test_what_is_missing_skips_on_a_desk_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="needs no-such-program"):
        needed("no-such-program")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="needs no-such-program"):
        needed("no-such-program")
