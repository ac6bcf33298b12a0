"""`univigu train`: what it says of a plan, and what it refuses."""

import json

import pytest
from typer.testing import CliRunner

from cli.main import app

pytestmark = pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")

CONFIG = "[base]\nnum_steps = 10\nbatch_size = 8\n"


def run(*arguments):
    return CliRunner().invoke(app, ["train", *arguments])


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(CONFIG)
    return str(path)


def test_a_plan_is_a_table_for_people(config):
    result = run("base", "--plan", "--config", config, "--world-size", "4")
    assert result.exit_code == 0, result.output
    assert "batch 8, 2 on each of 4 GPUs; a row has" in result.stdout
    assert "hours at 40% of 989 TFLOP/s" in result.stdout
    assert all(name in result.stdout for name in ("fsdp2", "checkpointing", "activations", "total"))


def test_a_plan_is_json_for_programs(config):
    arguments = ("base", "--plan", "--config", config, "--json", "--peak-tflops", "1")
    slow, slower = (run(*arguments, "--mfu", share) for share in ("0.5", "0.25"))
    plan, other = json.loads(slow.stdout), json.loads(slower.stdout)
    assert (plan["stage"], plan["num_steps"], plan["batch_size"]) == ("base", 10, 8)
    assert other["hours"] == pytest.approx(2 * plan["hours"])
    memory = plan["memory"]["one GPU, all kept"]
    assert memory.pop("total") == pytest.approx(sum(memory.values()))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["recall"], "--config FILE is missing"),
        (["recall", "--preset", "demo"], "--preset goes with --plan"),
        (["vae", "--plan"], "stage 'vae': has no plan"),
        (["dance", "--plan"], "stage 'dance': must be one of"),
        (["recall", "--plan", "--preset", "wan"], "preset 'wan': must be one of"),
        (["recall", "--plan", "--config", "/nowhere.toml"], "/nowhere.toml"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments, words):
    result = run(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr
