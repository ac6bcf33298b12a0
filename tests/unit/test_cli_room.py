"""What may be taken at a time, and what happens where that is too much."""

import threading

import pytest

from cli.room import Room


class Refused(Exception):
    pass


def refuse_second_look():
    """Return a check that raises at its second call."""
    looks = iter([None])

    def check():
        if next(looks, Refused) is Refused:
            raise Refused

    return check


def test_what_does_not_fit_waits_until_something_is_given_back():
    room = Room(10)
    room.take(6, lambda: None)
    with pytest.raises(Refused):
        room.take(5, refuse_second_look())
    later = threading.Thread(target=room.take, args=(5, lambda: None))
    later.start()
    room.give_back(6)
    later.join(30)
    assert not later.is_alive()


def test_what_is_larger_than_the_room_fits_alone():
    room = Room(10)
    room.take(11, lambda: None)
    with pytest.raises(Refused):
        room.take(1, refuse_second_look())


def test_of_many_that_were_too_much_together_one_halves_the_room():
    room = Room(100)
    told = [room.take(10, lambda: None) for _ in range(4)]
    assert [room.shrink(10, before) for before in told] == [True] * 4
    for _ in told:
        room.give_back(10)
    room.take(10, lambda: None)
    room.take(10, lambda: None)
    with pytest.raises(Refused):
        room.take(1, refuse_second_look())


def test_what_was_too_much_beside_what_is_gone_by_now_may_fit_another_time():
    room = Room(100)
    room.take(10, lambda: None)
    before = room.take(10, lambda: None)
    room.give_back(10)
    assert room.shrink(10, before)


def test_what_is_too_much_alone_will_not_fit_another_time():
    room = Room(100)
    assert not room.shrink(10, room.take(10, lambda: None))
