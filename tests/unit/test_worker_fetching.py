"""Videos behind URLs, on a server that means harm."""

import gzip
import socket
import ssl
import time
from pathlib import Path

import pytest
from hostile_servers import (
    PUBLIC,
    dripping,
    endless,
    hostile_server,
    reach,
    redirect,
    resolve,
    silent,
    silent_names,
    whole,
)
from webhook_receivers import self_signed

from worker.fetching import MAX_REDIRECTS, FetchError, FetchLimits, fetch

pytestmark = pytest.mark.timeout(60)

VIDEO = "Content-Type: video/mp4"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "source"


def limits(max_bytes: int = 10**6, max_seconds: float = 20, private: bool = True) -> FetchLimits:
    return FetchLimits(max_bytes, max_seconds, allow_private=private)


def refusal(url: str, path: Path, bounds: FetchLimits) -> FetchError:
    with pytest.raises(FetchError) as caught:
        fetch(url, path, bounds)
    return caught.value


def test_a_video_is_fetched_through_redirects(path: Path) -> None:
    answers = {
        "/a?x=1": redirect("/b"),
        "/b": redirect("c.mp4"),
        "/c.mp4": whole(b"a video", VIDEO),
    }
    with hostile_server(answers) as server:
        fetch(f"{server.url}/a?x=1", path, limits())
        assert server.hits == ["/a?x=1", "/b", "/c.mp4"]
    assert path.read_bytes() == b"a video"


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/a.mp4",
        "https://localhost/a.mp4",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/a.mp4",
        "https://[::ffff:10.0.0.1]/a.mp4",
        "https://0/a.mp4",
        "https://2130706433/a.mp4",
        "http://example.com/a.mp4",
        "file:///etc/passwd",
        "ftp://example.com/a.mp4",
        "https://user:password@example.com/a.mp4",
        "https:///a.mp4",
        "https://example.com:99999/a.mp4",
        "https://exa mple.com/a.mp4",
    ],
)
def test_what_is_not_public_https_is_refused(path: Path, url: str) -> None:
    assert refusal(url, path, limits(private=False)).code == "url_not_allowed"


@pytest.fixture
def plain_http(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let plain http pass, so that a test needs no certificate; addresses are still checked."""
    monkeypatch.setattr("worker.fetching.check_url", lambda url, allow_private: ("", 0))


@pytest.mark.parametrize(
    "target", ["http://127.0.0.1:{port}/b", "http://169.254.169.254/b", "http://[::1]:{port}/b"]
)
@pytest.mark.usefixtures("plain_http")
def test_a_public_server_cannot_redirect_to_a_private_one(
    path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    answers = {"/b": whole(b"a secret", VIDEO)}
    with hostile_server(answers) as server:
        answers["/a"] = redirect(target.format(port=server.port))
        asked = resolve(monkeypatch, PUBLIC)
        reached = reach(monkeypatch, server.port)
        error = refusal("http://evil.example/a", path, limits(private=False))
        assert (error.code, server.hits) == ("url_not_allowed", ["/a"])
    assert "not a public address" in str(error)
    assert (asked, reached) == (["evil.example"], [PUBLIC])


@pytest.mark.usefixtures("plain_http")
def test_the_address_that_was_checked_is_the_one_connected_to(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hostile_server({"/a": whole(b"a video", VIDEO)}) as server:
        asked = resolve(monkeypatch, PUBLIC, "127.0.0.1")
        reached = reach(monkeypatch, server.port)
        fetch("http://rebinding.example/a", path, limits(private=False))
    assert (asked, reached) == (["rebinding.example"], [PUBLIC])


@pytest.mark.usefixtures("plain_http")
def test_a_name_that_turns_private_after_a_redirect_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {"/a": redirect("http://rebinding.example:81/b"), "/b": whole(b"a secret", VIDEO)}
    with hostile_server(answers) as server:
        resolve(monkeypatch, PUBLIC, "127.0.0.1")
        reached = reach(monkeypatch, server.port)
        error = refusal("http://rebinding.example/a", path, limits(private=False))
        assert (error.code, server.hits) == ("url_not_allowed", ["/a"])
    assert reached == [PUBLIC]


def test_a_public_host_is_known_by_its_certificate_at_the_address_that_was_checked(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = self_signed(tmp_path, "good.example")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    with hostile_server({"/a": whole(b"a video", VIDEO)}, context) as server:
        resolve(monkeypatch, PUBLIC)
        reached = reach(monkeypatch, server.port)
        error = refusal("https://good.example/a", path, limits(private=False))
        assert (error.code, "certificate" in str(error)) == ("fetch_failed", True)
        assert not error.is_transient
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        fetch("https://good.example/a", path, limits(private=False))
        error = refusal("https://evil.example/a", path, limits(private=False))
        assert (error.code, "certificate" in str(error)) == ("fetch_failed", True)
        assert not error.is_transient
        assert (server.hits, reached) == (["/a"], [PUBLIC] * 3)
    assert path.read_bytes() == b"a video"


def test_a_redirect_may_not_change_the_scheme_to_a_file(path: Path) -> None:
    with hostile_server({"/a": redirect("file:///etc/passwd")}) as server:
        assert refusal(f"{server.url}/a", path, limits()).code == "url_not_allowed"


def test_redirects_in_a_circle_end(path: Path) -> None:
    with hostile_server({"/a": redirect("/a")}) as server:
        error = refusal(f"{server.url}/a", path, limits())
        assert len(server.hits) == MAX_REDIRECTS + 1
    assert error.code == "url_not_allowed"


def test_an_endless_body_is_cut_off_at_the_limit(path: Path) -> None:
    with hostile_server({"/a": endless}) as server:
        error = refusal(f"{server.url}/a", path, limits(max_bytes=10**6))
    assert (error.code, "1000000 bytes" in str(error)) == ("file_too_large", True)
    assert path.stat().st_size <= 10**6


def test_a_body_of_a_declared_length_over_the_limit_is_not_read(path: Path) -> None:
    with hostile_server({"/a": whole(bytes(2000), VIDEO)}) as server:
        assert refusal(f"{server.url}/a", path, limits(max_bytes=1999)).code == "file_too_large"
        fetch(f"{server.url}/a", path, limits(max_bytes=2000))
    assert path.stat().st_size == 2000


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        silent,
        dripping(HEAD + bytes(1000)),
        dripping(HEAD[:20] + b"X-Padding: " + b"x" * 1000),
    ],
    ids=["silent", "slow body", "slow headers"],
)
def test_a_slow_server_gets_so_much_time_in_all(path: Path, answer: object) -> None:
    with hostile_server({"/a": answer}) as server:
        began = time.monotonic()
        error = refusal(f"{server.url}/a", path, limits(max_seconds=1))
    assert (error.code, "1 s" in str(error)) == ("fetch_timeout", True)
    assert error.is_transient
    assert time.monotonic() - began < 10


def test_a_gzip_bomb_is_not_unpacked(path: Path) -> None:
    bomb = gzip.compress(bytes(10**7))
    with hostile_server({"/a": whole(bomb, VIDEO, "Content-Encoding: gzip")}) as server:
        error = refusal(f"{server.url}/a", path, limits())
    assert (error.code, "'gzip'" in str(error)) == ("unsupported_media_type", True)
    assert not path.exists()


@pytest.mark.parametrize("media_type", ["text/html", "image/svg+xml", "application/json"])
def test_what_is_no_video_by_its_type_is_refused(path: Path, media_type: str) -> None:
    page = whole(b"<html>", f"Content-Type: {media_type}; charset=utf-8")
    with hostile_server({"/a": page}) as server:
        error = refusal(f"{server.url}/a", path, limits())
    assert (error.code, media_type in str(error)) == ("unsupported_media_type", True)


@pytest.mark.parametrize(
    ("status", "is_transient"),
    [
        ("404 Not Found", False),
        ("429 Too Many Requests", False),
        ("206 Partial Content", False),
        ("500 Oops", True),
        ("503 Service Unavailable", True),
    ],
)
def test_a_status_that_is_no_whole_video_is_named(
    path: Path, status: str, is_transient: bool
) -> None:
    with hostile_server({"/a": whole(b"x", VIDEO, status=status)}) as server:
        error = refusal(f"{server.url}/a", path, limits())
    assert (error.code, status[:3] in str(error)) == ("fetch_failed", True)
    assert error.is_transient is is_transient


def test_a_body_that_breaks_off_is_a_failure(path: Path) -> None:
    cut = b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: 100\r\n\r\nx"
    with hostile_server({"/a": lambda connection: connection.sendall(cut)}) as server:
        error = refusal(f"{server.url}/a", path, limits())
    assert (error.code, error.is_transient) == ("fetch_failed", True)


def test_a_server_that_is_not_there_is_a_failure(path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = refusal(f"http://127.0.0.1:{port}/a", path, limits())
    assert (error.code, error.is_transient) == ("fetch_failed", True)


@pytest.mark.parametrize(
    ("reason", "code"), [(socket.EAI_AGAIN, "fetch_failed"), (socket.EAI_NONAME, "url_not_allowed")]
)
def test_a_name_that_cannot_be_looked_up_now_is_no_name_that_does_not_exist(
    path: Path, monkeypatch: pytest.MonkeyPatch, reason: int, code: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(reason, "no")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    error = refusal("https://good.example/a", path, limits())
    assert (error.code, error.is_transient) == (code, code == "fetch_failed")


def test_a_name_server_that_is_silent_takes_no_more_than_the_time_of_the_fetch(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with silent_names(monkeypatch):
        error = refusal("https://good.example/a", path, limits(max_seconds=0.2))
    assert (error.code, error.is_transient) == ("fetch_failed", True)
    assert "'good.example' does not resolve within 0." in str(error)


def test_proxies_of_the_environment_are_not_asked(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with hostile_server({"/a": whole(b"a video", VIDEO)}) as server:
        fetch(f"{server.url}/a", path, limits())
    assert path.read_bytes() == b"a video"
