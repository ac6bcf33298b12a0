"""What a process makes of its place among others; real ones meet in the integration tests."""

import pytest
import torch

from model.training.processes import Processes
from model.training.run import run_stage

LOST = "[gloo/transport/tcp/pair.cc:553] Connection closed by peer [10.0.0.2]:4242. Check the logs."


def one_of(count):
    return Processes(0, count, torch.device("cpu"))


def lose(processes, words):
    with processes.in_touch():
        raise RuntimeError(words)


def test_a_process_that_a_launcher_left_alone_does_not_train(tmp_path, monkeypatch):
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")  # as `accelerate launch --cpu` does
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(ValueError, match="would train alone: start it by torchrun"):
        run_stage("recall", tmp_path / "config.toml")


def test_a_launcher_may_start_one_process(monkeypatch):
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert Processes.started().count == 1


def test_the_loss_of_another_process_is_told_in_words():
    with pytest.raises(ConnectionError) as caught:
        lose(one_of(2), LOST)
    assert str(caught.value) == (
        "process 0 of 2 has lost another one: [gloo/transport/tcp/pair.cc:553] Connection closed "
        "by peer [10.0.0.2]:4242; start all again to go on from the last save"
    )


@pytest.mark.parametrize(("count", "words"), [(1, LOST), (2, "shapes cannot be multiplied")])
def test_an_error_of_its_own_stays_what_it_is(count, words):
    with pytest.raises(RuntimeError, match=r"peer|shapes"):
        lose(one_of(count), words)
