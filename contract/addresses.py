"""Which addresses a URL of a client may lead to: public ones, unless private ones are allowed.

A caller connects to the returned addresses themselves and resolves the name no second time, so
that a name which answers differently the next time leads nowhere else.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from concurrent.futures import Future
from typing import Any
from urllib.parse import urlsplit

#: for the answer of a name server
LOOKUP_SECONDS = 5.0
#: questions at the same time, those included that nobody waits for any more
MAX_LOOKUPS = 64
_lookups = threading.BoundedSemaphore(MAX_LOOKUPS)

#: reaches hosts of the IPv4 network behind it, which have to be judged instead
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")
#: count as global, though none belongs to a public host: IPv4-compatible, locally translated
_NEVER = (ipaddress.ip_network("::/96"), ipaddress.ip_network("64:ff9b:1::/48"))


def check_url(url: str, allow_private: bool = False) -> tuple[str, int]:
    """Refuse a URL that nothing may be fetched from or sent to, by what is written in it.

    Args:
        url: of a client, or of a redirect.
        allow_private: whether plain `http` is fine too.

    Returns:
        Host and port, to go through `check_public` before anything connects.

    Raises:
        ValueError: saying what is wrong and what is allowed.
    """
    parts = urlsplit(url)
    ports = {"https": 443} | ({"http": 80} if allow_private else {})
    if parts.scheme not in ports or not parts.hostname:
        raise ValueError(f"{url[:80]!r} is not taken; allowed: {'://, '.join(ports)}://HOST/...")
    if parts.username is not None:
        raise ValueError("a user name or a password is not taken in the URL")
    return parts.hostname, parts.port or ports[parts.scheme]


class NoAnswer(ValueError):
    """A host could not be looked up for now: the same question may be answered later."""


def check_public(
    host: str, port: int, allow_private: bool = False, seconds: float = LOOKUP_SECONDS
) -> list[str]:
    """Resolve a host and refuse it if any of its addresses is not public.

    Args:
        host: name or address; IPv6 with or without brackets.
        port: TCP port, 1 to 65535.
        allow_private: whether loopback, link-local and private addresses are fine too.
        seconds: how long that may take.

    Returns:
        Its addresses, in the order to try them; never empty.

    Raises:
        NoAnswer: if the name servers do not answer now, or in time.
        ValueError: if the host does not resolve, or one of its addresses is not allowed.
    """
    try:
        found = _look_up(host.strip("[]"), port, seconds)
    except TimeoutError as error:
        raise NoAnswer(f"host {host!r} does not resolve within {seconds:.3g} s") from error
    except (OSError, UnicodeError) as error:
        is_later = getattr(error, "errno", None) == socket.EAI_AGAIN
        kind = NoAnswer if is_later else ValueError
        raise kind(f"host {host!r} does not resolve") from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        if not allow_private and not is_public(address):
            raise ValueError(f"host {host!r} leads to {address}, which is not a public address")
    return addresses


def _look_up(host: str, port: int, seconds: float) -> list[Any]:
    """Ask the system for the addresses of a host, in a thread that is left behind if need be.

    Nothing can interrupt such a question, which may take the system a minute.

    Raises:
        TimeoutError: if there is no answer in time.
        OSError, UnicodeError: as `socket.getaddrinfo`.
    """
    answer: Future[list[Any]] = Future()
    end = time.monotonic() + seconds

    def ask() -> None:
        try:
            answer.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except BaseException as error:  # it belongs to who asks
            answer.set_exception(error)
        finally:
            _lookups.release()

    if not _lookups.acquire(timeout=seconds):
        raise TimeoutError
    threading.Thread(target=ask, name=f"lookup of {host}", daemon=True).start()
    return answer.result(end - time.monotonic())


def is_public(address: str) -> bool:
    """Return whether an IP address belongs to a host on the public internet."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.is_site_local or any(ip in network for network in _NEVER):
            return False
        carried = ip.ipv4_mapped or ip.sixtofour or (ip.teredo and ip.teredo[1])
        if ip in _TRANSLATED:
            carried = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if carried:
            return is_public(str(carried))
    # a multicast address may count as global
    return ip.is_global and not ip.is_multicast
