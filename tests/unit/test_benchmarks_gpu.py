"""The GPU benchmark runs unattended with torch, transformers and diffusers alone, at toy sizes."""

import json
import subprocess
import sys
import time

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu import __main__ as command
from benchmarks.gpu import video
from benchmarks.gpu.budget import Budget, OutOfTime
from benchmarks.gpu.flops import video_step_flops
from benchmarks.gpu.house import House
from benchmarks.gpu.report import Report
from benchmarks.gpu.shapes import TINY
from benchmarks.paired import Row
from model.transformer import UniViGUTransformer

ABSENT = (
    *("av", "fastapi", "imageio_ffmpeg", "obstore", "pydantic", "redis", "rich", "rq"),
    *("starlette", "typer", "uvicorn"),
)
#: a module that is None cannot be imported, nor found
ALONE = f"""
import sys
hidden = {ABSENT!r}
sys.modules.update(dict.fromkeys(hidden))
from benchmarks.gpu.__main__ import main
code = main(sys.argv[1:])
assert all(sys.modules[name] is None for name in hidden)
sys.exit(code)
"""
NAMES = [name for bench in command.BENCHES for name in bench.names]
ROW = Row("first", 1.0, limit=1.0, sense="min", detail="")


@pytest.fixture
def report(tmp_path):
    return Report(tmp_path / "gpu.json", {"device": "none"}, is_toy=True)


def read(report):
    return json.loads(report._path.read_text())


def test_every_row_is_measured_where_nothing_else_is_installed(tmp_path):
    path = tmp_path / "out" / "gpu.json"
    arguments = [sys.executable, "-c", ALONE, "--tiny", "--out", str(path)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    written = json.loads(path.read_text())
    assert sorted(row["name"] for row in written["rows"]) == sorted(NAMES)
    assert all(row["ratio"] > 0 for row in written["rows"])
    assert written["not_run"] == {}
    assert "mean nothing" in written["machine"]["sizes"]
    assert "toy" in done.stdout
    assert "ok " not in done.stdout
    (film,) = (row for row in written["rows"] if row["name"] == video.FOUR_STEPS)
    assert "no file" in film["detail"]


def test_where_there_is_an_encoder_the_video_becomes_a_file():
    (row,) = video.four_steps(House(torch.device("cpu"), TINY))
    assert row.detail.startswith("with its file")


def test_without_time_every_row_is_listed_as_not_run(tmp_path, capsys):
    path = tmp_path / "gpu.json"
    assert command.main(["--tiny", "--seconds", "0", "--out", str(path)]) == 1
    written = json.loads(path.read_text())
    assert list(written["not_run"]) == NAMES
    assert all("0 seconds" in reason for reason in written["not_run"].values())
    assert "not run" in capsys.readouterr().out


def test_what_is_under_way_is_left_when_the_time_is_over(report):
    def endless(house):
        yield ROW
        while True:
            try:
                time.sleep(0.001)
            except Exception:  # a compiler that survives whatever happens to it
                pytest.fail("the end of the time looked like a failure")

    bench = command.Bench(("first", "second"), endless)
    command.measure(bench, House(torch.device("cpu"), TINY), Budget(0.2), report)
    written = read(report)
    assert [row["name"] for row in written["rows"]] == ["first"]
    assert list(written["not_run"]) == ["second"]
    with pytest.raises(OutOfTime), Budget(-1).enforced():
        pass


def test_a_bench_that_fails_costs_no_other(report):
    def fails(house):
        raise torch.OutOfMemoryError("no memory for 40 GiB\nand a long story")
        yield

    house, budget = House(torch.device("cpu"), TINY), Budget(60)
    command.measure(command.Bench(("lost",), fails), house, budget, report)
    command.measure(command.Bench(("first",), lambda house: iter([ROW])), house, budget, report)
    written = read(report)
    assert written["not_run"] == {"lost": "OutOfMemoryError: no memory for 40 GiB"}
    assert [row["name"] for row in written["rows"]] == ["first"]


@pytest.mark.parametrize("frames", [1, 3])
def test_the_operations_of_a_step_are_those_that_torch_counts(frames):
    transformer = UniViGUTransformer(**TINY.networks["1.3b"]).eval()
    config = transformer.config
    latents = torch.randn(1, config.in_channels, frames, 4, 6)
    states = torch.randn(1, config.condition_length, config.text_dim)
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH):
        prepared = transformer.prepare_condition(states)
        with FlopCounterMode(display=False) as counter:
            transformer(latents, torch.tensor([700.0]), prepared)
    assert counter.get_total_flops() == video_step_flops(config, frames * 2 * 3)


def test_weights_have_the_precision_of_a_loaded_checkpoint(tmp_path):
    made = House(torch.device("cpu"), TINY)._build("1.3b").transformer
    made.save_pretrained(tmp_path)
    loaded = UniViGUTransformer.from_pretrained(tmp_path, torch_dtype=torch.bfloat16)
    assert [(name, tensor.dtype) for name, tensor in made.named_parameters()] == [
        (name, tensor.dtype) for name, tensor in loaded.named_parameters()
    ]
    assert made.rope.freqs_cos.dtype == loaded.rope.freqs_cos.dtype
    assert not made.text_proj_out.weight.eq(0).any()
