"""Both clients offer the same operations, of which a type checker knows everything."""

import asyncio
import inspect
import pydoc

import pytest
from mypy import api

from univigu_client import AsyncClient, Client

PROGRAM = """
from typing import assert_type

from univigu_client import AsyncClient, Batch, Client, Job

client, awaited = Client("http://host"), AsyncClient("http://host")
assert_type(client.create_video("a circle", seed=1, idempotency_key="mine"), Job)
assert_type(client.wait_batch(client.retrieve_batch("id"), print, timeout=1), Batch)


async def main() -> None:
    assert_type(await awaited.is_ready(), bool)
    assert_type(Client.is_ready(client), bool)
    assert_type(await awaited.upload("clip.mp4", lifetime_seconds=3600), str)


client.create_video("a circle", seed="1")
client.create_video("a circle", sed=1)
client.create_video("a circle", "mine")
awaited.checkpoint()
"""


def operations(client):
    found = inspect.getmembers(client, callable)
    return {name: method for name, method in found if not name.startswith("_")}


def test_both_offer_the_same():
    blocking, awaited = operations(Client("http://host")), operations(AsyncClient("http://host"))
    assert len(blocking) > 20
    for name in blocking | awaited:
        one, other = inspect.signature(blocking[name]), inspect.signature(awaited[name])
        assert one.parameters == other.parameters
        assert blocking[name].__doc__ == awaited[name].__doc__
    answered = blocking.keys() - {"events", "jobs"}
    assert all(inspect.iscoroutinefunction(awaited[name]) for name in answered)


def test_a_type_checker_knows_parameters_and_answers(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    options = ("--strict", "--config-file=", f"--cache-dir={tmp_path}", "--no-error-summary")
    found, crash, _ = api.run([*options, str(program)])
    assert crash == ""
    assert [line.partition("error: ")[2] for line in found.splitlines() if "error: " in line] == [
        'Argument "seed" has incompatible type "str"; expected "int"  [arg-type]',
        'Unexpected keyword argument "sed"; did you mean "seed"?  [call-arg]',
        "Too many positional arguments  [call-arg]",
        'Value of type "Coroutine[Any, Any, str]" must be used  [unused-coroutine]',
    ]


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_a_class_shows_what_its_clients_offer(client):
    shown = pydoc.render_doc(client, renderer=pydoc.plaintext)
    assert "create_video(prompt: 'str', *, idempotency_key: 'str | None' = None" in shown
    assert "Start a video job" in shown


def test_an_operation_of_the_class_takes_a_client(monkeypatch):
    is_ready, seen = Client.is_ready, []

    def noting(self):
        seen.append(self)
        return is_ready(self)

    monkeypatch.setattr(Client, "is_ready", noting)
    client = Client("http://127.0.0.1:9")
    assert (client.is_ready(), seen) == (False, [client])
    monkeypatch.setattr(Client, "is_ready", is_ready)
    assert not client.is_ready()
    awaited = AsyncClient("http://127.0.0.1:9")
    assert asyncio.run(AsyncClient.is_ready(awaited)) is False
