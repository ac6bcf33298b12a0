"""`univigu enrich` against a real HTTP server: captions, refusals, kills, limits."""

import json
import signal
import subprocess
import sys
import threading

import pytest
from cli_house import environment, until
from typer.testing import CliRunner

from cli import chat_endpoint
from cli.main import app

CAPTION = "a " + "very " * 20 + "long caption"


@pytest.fixture
def manifest(tmp_path):
    path = tmp_path / "in" / "manifest.jsonl"
    path.parent.mkdir()
    rows = [{"video": f"{i}.mp4", "prompt": f"prompt {i}", "split": "val"} for i in range(6)]
    write(path, rows)
    return path


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def run(manifest, server, *options, out=None):
    out = out or manifest.parent.parent / "out.jsonl"
    place = [str(manifest), "--url", server.url, "--model", "m", "--out", str(out)]
    result = CliRunner().invoke(app, ["enrich", *place, *map(str, options)])
    return result, out


def start(manifest, server, out):
    place = [manifest, "--url", server.url, "--model", "m", "--out", out]
    command = [sys.executable, "-m", "cli.main", "enrich", *map(str, place)]
    return subprocess.Popen(command, env=environment(out.parent))


def test_every_prompt_gets_a_caption_that_train_can_read(manifest, chat_server):
    server = chat_server(lambda messages: f"  {CAPTION}\n of {messages[-1]['content']} ")
    result, out = run(manifest, server, "--api-key", "secret", "--json")
    assert result.exit_code == 0, result.output
    assert read(out) == [
        {
            "video": f"in/{i}.mp4",
            "prompt": f"prompt {i}",
            "split": "val",
            "caption": f"{CAPTION} of prompt {i}",
        }
        for i in range(6)
    ]
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(row["line"], row["status"]) for row in rows] == [
        (i + 1, "completed") for i in range(6)
    ]
    assert {*server.keys} == {"Bearer secret"}
    assert {request["model"] for request in server.requests} == {"m"}


def test_what_was_written_is_not_asked_again(manifest, chat_server):
    server = chat_server(lambda messages: CAPTION)
    _, out = run(manifest, server)
    lines = read(out)
    write(manifest, [*read(manifest), {"video": "0.mp4", "prompt": "another"}])
    result, _ = run(manifest, server)
    assert result.exit_code == 0
    assert result.stderr == "1 written, 6 there before\n"
    assert server.prompts == [*(f"prompt {i}" for i in range(6)), "another"]
    assert read(out)[:6] == lines
    assert read(out)[6]["prompt"] == "another"


def test_a_torn_last_line_is_written_anew(manifest, chat_server):
    server = chat_server(lambda messages: CAPTION)
    _, out = run(manifest, server)
    whole = out.read_bytes()
    out.write_bytes(whole[:-20])
    result, _ = run(manifest, server)
    assert result.exit_code == 0
    assert out.read_bytes() == whole
    assert server.prompts[6:] == ["prompt 5"]


def test_a_kill_costs_the_line_in_flight_alone(manifest, chat_server, tmp_path):
    hold = threading.Event()

    def answer(messages):
        if messages[-1]["content"] == "prompt 3" and not hold.is_set():
            hold.wait(60)
        return CAPTION

    server, out = chat_server(answer), tmp_path / "out.jsonl"
    with start(manifest, server, out) as process:
        until(lambda: len(server.requests) == 4)
        process.kill()
    assert [line["prompt"] for line in read(out)] == [f"prompt {i}" for i in range(3)]
    hold.set()
    result, _ = run(manifest, server)
    assert result.exit_code == 0
    assert [line["prompt"] for line in read(out)] == [f"prompt {i}" for i in range(6)]
    assert server.prompts == [f"prompt {i}" for i in (0, 1, 2, 3, 3, 4, 5)]


def test_ctrl_c_does_not_wait_for_an_answer(manifest, chat_server, tmp_path):
    hold = threading.Event()

    def answer(messages):
        if messages[-1]["content"] == "prompt 3":
            hold.wait(60)
        return CAPTION

    server, out = chat_server(answer), tmp_path / "out.jsonl"
    with start(manifest, server, out) as process:
        until(lambda: len(server.requests) == 4)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    hold.set()
    assert [line["prompt"] for line in read(out)] == [f"prompt {i}" for i in range(3)]


def test_bad_lines_and_bad_answers_are_reported_by_line(manifest, chat_server):
    with manifest.open("a") as file:
        file.write('{"video": "x.mp4", "prompt": " "}\n{"video": 3}\nno json\n')

    def answer(messages):
        return "too short" if "prompt 2" in messages[1]["content"] else CAPTION

    server = chat_server(answer)
    result, out = run(manifest, server)
    assert result.exit_code == 1
    failures = result.stdout.splitlines()
    assert [line.split(":")[1] for line in failures] == [f" line {i}" for i in (3, 7, 8, 9)]
    assert "caption has 2 words; allowed: 20 to 150, after 2 corrections" in failures[0]
    assert "prompt" in failures[1]
    assert "video" in failures[2]
    assert len(read(out)) == 5


def test_the_model_is_told_what_was_wrong_with_its_caption(manifest, chat_server):
    def answer(messages):
        return CAPTION if len(messages) > 2 else "too short"

    write(manifest, read(manifest)[:1])
    server = chat_server(answer)
    result, out = run(manifest, server, "--instruction", "Be vivid.")
    assert result.exit_code == 0
    assert read(out)[0]["caption"] == CAPTION
    first, second = (request["messages"] for request in server.requests)
    assert first[0] == {"role": "system", "content": "Be vivid. Write 20 to 150 words."}
    assert second[:3] == [*first, {"role": "assistant", "content": "too short"}]
    assert "2 words; allowed: 20 to 150" in second[3]["content"]


def test_captions_fit_the_tokenizer_of_the_checkpoint(manifest, chat_server, tiny_checkpoint):
    known = "a small red circle moves from right to left across a plain white background ."
    answers = {"prompt 0": known, "prompt 1": f"{known} {known}", "prompt 2": "a purple elephant ."}
    server = chat_server(lambda messages: answers[messages[1]["content"]])
    write(manifest, read(manifest)[:3])
    result, out = run(manifest, server, "--checkpoint", tiny_checkpoint, "--min-words", 3)
    assert [line["caption"] for line in read(out)] == [known]
    assert "caption has 31 tokens; the model takes at most 20" in result.stdout
    assert "caption has words that the checkpoint's tokenizer does not know" in result.stdout


def test_requests_keep_to_their_rate(manifest, chat_server):
    server = chat_server(lambda messages: CAPTION)
    run(manifest, server, "--requests-per-minute", 300, "--concurrency", 4)
    # five pauses of 0.2 s; the first request may arrive late, the last one never early
    assert server.times[-1] - server.times[0] > 0.6


def test_requests_run_side_by_side_where_asked(manifest, chat_server):
    together = threading.Barrier(3, timeout=30)

    def answer(messages):
        together.wait()
        return CAPTION

    result, out = run(manifest, chat_server(answer), "--concurrency", 3)
    assert result.exit_code == 0
    assert sorted(line["prompt"] for line in read(out)) == [f"prompt {i}" for i in range(6)]


def test_a_server_that_is_busy_is_asked_again_when_it_says(manifest, chat_server):
    refusals = [(429, {"error": {"message": "slow down"}}, {"retry-after": "0.2"}), (503, {}, {})]

    def answer(messages):
        return refusals.pop(0) if refusals else CAPTION

    write(manifest, read(manifest)[:1])
    server = chat_server(answer)
    result, _ = run(manifest, server)
    assert result.exit_code == 0
    assert len(server.requests) == 3
    assert server.times[1] - server.times[0] >= 0.2


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((400, {"error": {"message": "not that"}}, {}), "status 400: not that"),
        ((200, {"choices": []}, {}), "is no chat completion"),
        ((200, {"choices": [{"message": {"content": "x"}, "finish_reason": "length"}]}, {}), "cut"),
        ((200, {"choices": [{"message": {"content": None}}]}, {}), "the answer is empty"),
    ],
)
def test_an_answer_that_is_none_fails_its_line(manifest, chat_server, answer, words):
    write(manifest, read(manifest)[:1])
    server = chat_server(lambda messages: answer)
    result, out = run(manifest, server)
    assert result.exit_code == 1
    assert words in result.stdout
    assert len(server.requests) == 1
    assert out.read_text() == ""


def test_a_server_that_stays_away_fails_the_line(manifest, chat_server, monkeypatch):
    monkeypatch.setattr(chat_endpoint, "_FIRST_PAUSE_SECONDS", 0.01)
    write(manifest, read(manifest)[:1])
    server = chat_server(lambda messages: (500, {}, {}))
    result, _ = run(manifest, server)
    assert result.exit_code == 1
    assert "status 500" in result.stdout
    assert len(server.requests) == 6


def test_a_key_that_is_refused_ends_the_command(manifest, chat_server):
    together = threading.Barrier(3, timeout=30)

    def answer(messages):
        together.wait()
        return 401, {"error": {"message": "who are you"}}, {}

    server = chat_server(answer)
    result, _ = run(manifest, server, "--concurrency", 3)
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        f"error: {server.url}/chat/completions: status 401: who are you"
    ]
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--min-words", 9, "--max-words", 8], "--min-words 9: is more than --max-words 8"),
        (["--checkpoint", "/nowhere"], "checkpoint /nowhere: there is no model_index.json"),
    ],
)
def test_a_wrong_option_is_refused(manifest, chat_server, options, words):
    result, _ = run(manifest, chat_server(lambda messages: CAPTION), *options)
    assert result.exit_code == 2
    assert words in result.stderr


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://host/v1", "http://", "/v1"])
def test_an_address_that_is_none_is_refused(manifest, url, tmp_path):
    options = ["--url", url, "--model", "m", "--out", str(tmp_path / "out.jsonl")]
    result = CliRunner().invoke(app, ["enrich", str(manifest), *options])
    assert result.exit_code == 2
    assert f"url {url!r}: must be http://HOST[:PORT]/v1" in result.stderr


def test_the_manifest_itself_is_not_written_over(manifest, chat_server):
    result, _ = run(manifest, chat_server(lambda messages: CAPTION), out=manifest)
    assert result.exit_code == 2
    assert "is the manifest itself" in result.stderr


def test_two_processes_do_not_write_one_file(manifest, chat_server, tmp_path):
    from cli.appended import AppendedLines

    with AppendedLines(tmp_path / "out.jsonl"):
        result, _ = run(manifest, chat_server(lambda messages: CAPTION))
    assert result.exit_code == 2
    assert "another process is writing it" in result.stderr
