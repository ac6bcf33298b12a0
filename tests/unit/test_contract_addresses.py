"""Addresses that a client's URL may lead to, and those that it may not."""

from __future__ import annotations

import pytest
from hostile_servers import silent_names

from contract.addresses import MAX_LOOKUPS, check_public, is_public


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
def test_a_public_address_is_public(address: str) -> None:
    assert is_public(address)
    assert check_public(address, 443) == [address]


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::8.8.8.8",
        "::ffff:127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::808:808",
        "2002:7f00:1::",
        "fc00::1",
        "fe80::1",
        "fec0::1",
        "fe80::1%1",
        "ff0e::1",
    ],
)
def test_any_other_address_is_not(address: str) -> None:
    assert not is_public(address)
    with pytest.raises(ValueError, match=r"not a public address|does not resolve"):
        check_public(address, 443)


@pytest.mark.parametrize("written", ["127.1", "2130706433", "0x7f.0.0.1", "localhost", "[::1]"])
def test_no_way_to_write_loopback_passes(written: str) -> None:
    with pytest.raises(ValueError, match=r"not a public address|does not resolve"):
        check_public(written, 80)


def test_private_addresses_can_be_allowed() -> None:
    assert check_public("127.0.0.1", 80, allow_private=True) == ["127.0.0.1"]


@pytest.mark.parametrize("host", ["", "no-such-host.invalid", "a" * 64 + ".example", "x\0y"])
def test_a_host_that_does_not_resolve_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="does not resolve"):
        check_public(host, 443)


class TestLookups:
    """A name server that does not answer keeps nobody for long."""

    def test_it_is_given_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with (
            silent_names(monkeypatch),
            pytest.raises(ValueError, match=r"'slow.example' does not resolve within 0.1 s"),
        ):
            check_public("slow.example", 443, seconds=0.1)

    def test_questions_left_behind_are_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with silent_names(monkeypatch) as asked:
            for _ in range(MAX_LOOKUPS + 5):
                with pytest.raises(ValueError, match="does not resolve within"):
                    check_public("slow.example", 443, seconds=0.01)
            assert len(asked) == MAX_LOOKUPS

    def test_one_that_has_ended_makes_room(self) -> None:
        for _ in range(2 * MAX_LOOKUPS):
            assert check_public("8.8.8.8", 443) == ["8.8.8.8"]
