"""What `serve` decides for its processes before it starts any."""

import os
import socket

import pytest
from rich.console import Console

from cli.all_in_one import AllInOne, ServeSettings, child_variables
from cli.items import BadOption


@pytest.fixture
def checkpoint(tmp_path):
    (tmp_path / "model_index.json").touch()
    return tmp_path


def slots(settings):
    variables = child_variables(settings)
    return [variables.get(f"UNIVIGU_{kind}_SLOTS") for kind in ("GENERATE", "UNDERSTAND")]


@pytest.mark.parametrize(("cores", "expected"), [(2, ["1", "2"]), (7, ["1", "2"]), (8, [None] * 2)])
def test_a_small_machine_has_few_slots(monkeypatch, cores, expected):
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert slots(ServeSettings()) == expected


def test_a_number_of_slots_from_the_environment_is_kept(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setenv("UNIVIGU_UNDERSTAND_SLOTS", "5")
    assert slots(ServeSettings()) == ["1", None]


def test_folders_are_handed_on_as_absolute_paths(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    variables = child_variables(ServeSettings(data_dir="d", checkpoint="c"))
    assert variables["UNIVIGU_DATA_DIR"] == str(tmp_path / "d")
    assert variables["UNIVIGU_CHECKPOINT"] == str(tmp_path / "c")


@pytest.mark.parametrize(
    ("host", "start"), [("127.0.0.1", "http://127.0.0.1:"), ("0.0.0.0", "http://127.0.0.1:")]
)
def test_it_is_reached_from_this_machine_wherever_it_listens(checkpoint, host, start):
    settings = ServeSettings(host=host, port=0, checkpoint=checkpoint, api_keys="k")
    url = AllInOne(settings, Console()).url
    assert url.startswith(start)
    assert int(url.removeprefix(start)) > 0


def test_a_taken_port_is_refused(checkpoint):
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(ValueError, match=f"port {port}: Address already in use; choose"):
            AllInOne(ServeSettings(port=port, checkpoint=checkpoint), Console())


def test_a_folder_that_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(BadOption, match="there is no model_index"):
        AllInOne(ServeSettings(port=0, checkpoint=tmp_path), Console())
