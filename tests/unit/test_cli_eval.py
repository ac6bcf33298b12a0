"""`univigu eval` on a checkpoint of random weights: what it prints, writes and refuses."""

import json

import pytest
from PIL import Image
from typer.testing import CliRunner

from cli.main import app

FAST = ["--clips", "1", "--num-inference-steps", "1"]


def run(*arguments):
    return CliRunner().invoke(app, ["eval", *map(str, arguments)])


def test_json_is_one_object_with_the_scores_asked_for(tiny_clips_checkpoint):
    result = run(
        "--checkpoint", tiny_clips_checkpoint, *FAST, "--scores", "understand, tokens", "--json"
    )
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["checkpoint"].startswith("tiny-clips@")
    assert found["sampling"]["num_inference_steps"] == 1
    assert {*found["scores"]} == {"understand", "understand_shuffled", "understand_no_video"}
    assert {*found["measures"]["tokens"]} == {"seen", "held_out"}
    assert {*found["confusions"]["understand"]["color"]}


def test_the_table_and_the_contact_sheet_are_for_people(tiny_clips_checkpoint, tmp_path):
    sheet = tmp_path / "sheet.png"
    options = ["--scores", "understand", "--contact-sheet", sheet]
    result = run("--checkpoint", tiny_clips_checkpoint, *FAST, *options)
    assert result.exit_code == 0, result.output
    assert "understand_shuffled" in result.stdout
    with Image.open(sheet) as image:
        assert image.format == "PNG"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--scores", "joint"], "score 'joint': must be one of understand, "),
        (["--scores", "drift"], "score 'drift': needs a base checkpoint"),
        (["--judge-url", "http://127.0.0.1:9/v1"], "--judge-url goes with --manifest"),
        (["--manifest", "x.jsonl", "--prompts", "y"], "--manifest does not go with --prompts"),
        (["--base", "/nowhere"], "checkpoint /nowhere: there is no model_index.json"),
        (["--device", "abacus"], "device 'abacus': "),
        (["--scores", "tokens", "--contact-sheet", "x.png"], "there are no clips to show"),
    ],
)
def test_what_cannot_be_done_is_refused(
    options, words, tiny_clips_checkpoint, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    result = run("--checkpoint", tiny_clips_checkpoint, *FAST, *options)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())
