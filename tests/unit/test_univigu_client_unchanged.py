"""Files that are written to while they are sent."""

from contextlib import ExitStack

import httpx2
import pytest

from univigu_client.calls import Call, build


@pytest.fixture
def sent(tmp_path):
    """Begin to send a file; gives its path and the request."""
    path = tmp_path / "a.mp4"
    path.write_bytes(bytes(100_000))
    with ExitStack() as closing, httpx2.Client(base_url="http://127.0.0.1") as http:
        yield path, build(http, Call("POST", "/v1/files", form={}, upload=path), closing)


def test_a_file_arrives_whole_and_again_at_a_repeat(sent):
    _, request = sent
    bodies = [b"".join(request.stream) for _ in range(2)]
    assert bodies[0] == bodies[1]
    assert bytes(100_000) in bodies[0]
    assert len(bodies[0]) == int(request.headers["content-length"])


def test_what_a_file_gains_meanwhile_is_not_sent(sent):
    path, request = sent
    with path.open("ab") as file:
        file.write(b"more")
    assert len(b"".join(request.stream)) == int(request.headers["content-length"])


def test_a_file_that_becomes_shorter_meanwhile_is_an_error_of_the_file(sent):
    path, request = sent
    path.write_bytes(bytes(10))
    with pytest.raises(OSError, match=r"a\.mp4: it was changed"):
        b"".join(request.stream)
