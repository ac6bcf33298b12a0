"""The command line as a whole: what it lists, how quickly, and what it does not load."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from cli.main import app

COMMANDS = "serve api worker janitor keys generate caption convert train eval enrich".split()


def test_help_lists_every_command_and_loads_none_of_the_heavy_packages():
    code = (
        "import sys; from typer.testing import CliRunner; from cli.main import app; "
        "print(CliRunner().invoke(app, ['--help']).output); "
        "print('loaded:', {'torch', 'fastapi', 'redis', 'av', 'numpy'} & {*sys.modules})"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "loaded: set()"
    assert all(f"│ {name} " in run.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name):
    result = CliRunner().invoke(app, [name, "--help"])
    assert result.exit_code == 0
    assert f" {name} " in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["generate"], "give either prompts or --prompts FILE"),
        (["generate", "x", "--prompts", "y"], "give either prompts or --prompts FILE"),
        (["generate", "--prompts", "/nowhere.jsonl"], "No such file or directory"),
        (["generate", "x", "--url", "localhost:8000"], "url 'localhost:8000': must be http://"),
        (
            ["generate", "x", "--url", "http://127.0.0.1:9", "--checkpoint", "y"],
            "--checkpoint does not go with a server",
        ),
        (["generate", "x", "--checkpoint", "/nowhere"], "checkpoint /nowhere: there is no"),
        (["caption", "x", "--formats", "txt,ass"], "--formats 'ass': allowed are txt, vtt, srt"),
        (["serve", "--port", "70000"], "--port: Input should be less than or equal to 65535"),
        (["serve", "--port", "0", "--checkpoint", "/nowhere"], "checkpoint /nowhere: there is no"),
        (["serve", "--host", "0.0.0.0"], "set UNIVIGU_API_KEYS, or listen on 127.0.0.1"),
        (["eval", "--checkpoint", "/nowhere"], "checkpoint /nowhere: there is no"),
        (["convert", "--wan", "/nowhere", "--out", "/nowhere2"], "/nowhere"),
        (["train", "nothing", "--config", "/nowhere"], "/nowhere"),
        (["worker"], "redis_url is not set"),
        (["janitor"], "redis_url is not set"),
        (["api"], "UNIVIGU_REDIS_URL is not set"),
    ],
)
def test_a_wrong_option_is_refused_in_words(arguments, words, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("REDIS_URL", "URL", "API_KEYS"):
        monkeypatch.delenv(f"UNIVIGU_{name}", raising=False)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stdout == ""


def test_a_wrong_variable_is_named_with_its_value(monkeypatch):
    monkeypatch.setenv("UNIVIGU_PORT", "eighty")
    result = CliRunner().invoke(app, ["serve"])
    assert result.exit_code == 2
    assert "UNIVIGU_PORT: Input should be a valid integer" in result.stderr
    assert "got 'eighty'" in result.stderr
