import pytest

from features.event_log_section import ADDRESS_VARIABLE, EventLogSection


def test_the_environment_comes_before_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    section = EventLogSection(address="redis://file")
    monkeypatch.delenv(ADDRESS_VARIABLE, raising=False)
    assert EventLogSection().resolved() is None
    assert section.resolved() == "redis://file"
    monkeypatch.setenv(ADDRESS_VARIABLE, "redis://environment")
    assert section.resolved() == EventLogSection().resolved() == "redis://environment"


def test_a_section_does_not_show_its_address() -> None:
    assert "hunter2" not in repr(EventLogSection(address="redis://:hunter2@host"))
