"""Reads server-sent events, and knows from where to go on when a stream breaks off."""

from __future__ import annotations

import json

from univigu_client.answers import Event

#: breaks in a row, without an event between them, after which a stream is given up
MAX_BREAKS = 5
PAUSE_SECONDS = 1.0


class EventReader:
    """Turns lines into events. `last_id` is where the next stream has to begin."""

    def __init__(self) -> None:
        self.last_id = "0"
        self.breaks = 0
        self._id, self._type, self._data = self.last_id, "", ""

    def begin(self) -> None:
        """Forget what a broken stream has left unfinished."""
        self._id, self._type, self._data = self.last_id, "", ""

    def feed(self, line: str) -> Event | None:
        """Take one line; return an event where the line ends one."""
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "id":
            self._id = value
        elif name == "event":
            self._type = value
        elif name == "data":
            self._data += value
        elif not line and self._data:
            self.last_id = self._id
            event = Event(self.last_id, self._type, json.loads(self._data))
            self.begin()
            self.breaks = 0
            return event
        return None

    def has_broken_off(self) -> bool:
        """Note an end without a last event; whether to try again."""
        self.breaks += 1
        return self.breaks < MAX_BREAKS
