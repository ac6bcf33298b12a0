"""What the command runs, prints, writes and answers; how long anything takes is not looked at."""

import json
from importlib import import_module

import pytest
from rich.console import Console

from benchmarks import __main__ as command
from benchmarks.paired import Row

KEPT = Row("kept", 12.5, limit=10, sense="min", detail="a long story")
MISSED = Row("missed", 1.2, limit=1.15, sense="max", detail="another")


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "RESULTS", tmp_path / "out" / "bench.json")
    return command.RESULTS


@pytest.fixture
def measured(results, monkeypatch):
    """Replace the benchmarks by rows that each name stands for."""
    rows = {"captioning": [KEPT], "joint": [KEPT, MISSED]}

    class Module:
        def __init__(self, name):
            self.run = lambda: rows.get(name.removeprefix("benchmarks."), [])

    monkeypatch.setattr(command, "import_module", Module)
    return results


@pytest.mark.parametrize("name", command.NAMES)
def test_every_name_is_a_module_that_runs(name):
    assert callable(import_module(f"benchmarks.{name}").run)


def test_only_what_is_named_runs(measured):
    assert command.main(["captioning"]) == 0
    assert [row["name"] for row in json.loads(measured.read_text())] == ["kept"]


def test_without_names_all_run_and_one_missed_limit_is_exit_code_one(measured):
    assert command.main([]) == 1
    assert [row["ok"] for row in json.loads(measured.read_text())] == [True, True, False]


def test_a_benchmark_that_fails_is_named_and_costs_no_other(measured, monkeypatch, capsys):
    found = command.import_module

    def broken():
        raise AssertionError("both sides [differ]")

    def fetch(name):
        module = found(name)
        if name.endswith("together"):
            module.run = broken
        return module

    monkeypatch.setattr(command, "import_module", fetch)
    assert command.main(["captioning", "together", "captioning"]) == 1
    assert "both sides [differ]" in " ".join(capsys.readouterr().out.split())
    kept, again, failed = json.loads(measured.read_text())
    assert (kept["ok"], again["ok"]) == (True, True)
    assert failed == {
        "name": "together",
        "ratio": None,
        "limit": None,
        "sense": None,
        "ok": False,
        "error": "AssertionError: both sides [differ]",
    }


def test_an_unknown_name_is_refused(measured, capsys):
    with pytest.raises(SystemExit, match="2"):
        command.main(["captioning", "speed"])
    assert "no benchmark speed; there are captioning, together" in capsys.readouterr().err
    assert not measured.exists()


def test_the_file_has_what_programs_read_and_no_more(results):
    command.write([KEPT, MISSED], {}, results)
    command.write([MISSED], {}, results)
    assert json.loads(results.read_text()) == [
        {"name": "missed", "ratio": 1.2, "limit": 1.15, "sense": "max", "ok": False}
    ]


def test_what_was_not_run_is_printed_and_not_written(results):
    console = Console(record=True, width=200, quiet=False)
    command.show([KEPT, MISSED], command.NOT_RUN, console)
    printed = console.export_text()
    assert all(text in printed for text in (*command.NOT_RUN, "a long story", "MISSED"))
    command.write([KEPT], {}, results)
    assert not any(name in results.read_text() for name in command.NOT_RUN)
