"""Requests made up from the OpenAPI document, right and wrong ones, against the running server.

Nothing may be a 5xx, a success has to look as announced, and an error has to be one of the table
in `docs/api.md`. The ids in paths are of things that exist, else every answer would be 404.
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from server_apps import FRAMES, Worker

from server.settings import ServerSettings

ROOT = Path(__file__).parents[2]
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]
MODES = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
#: requests made up for each operation and mode
EXAMPLES = 10


def documented_errors() -> dict[int, set[str]]:
    """Return the codes of each status in the table of errors."""
    section = (ROOT / "docs" / "api.md").read_text().split("## Errors")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (\d{3}) \| (.*) \|$", section, flags=re.MULTILINE)
    return {int(status): set(re.findall(r"`(\w+)`", codes)) for status, codes in rows}


ERRORS = documented_errors()


def operations() -> list[APIOperation]:
    document = json.loads((ROOT / "tests" / "data" / "openapi.json").read_text())
    schema = schemathesis.openapi.from_dict(document)
    return [found.ok() for found in schema.get_all_operations()]


@pytest.fixture
def server_settings(server_settings: ServerSettings) -> ServerSettings:
    """Allow a webhook to lead to this machine: the tests have no other."""
    return server_settings.model_copy(update={"allow_private_urls": True})


@pytest.fixture
def busy(worker: Worker) -> Iterator[None]:
    """Have a worker that completes every job, so that no request waits in vain."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.02):
            worker.warm_up()
            for job_id in worker.jobs.live_ids():
                files = {"video": FRAMES} if job_id.startswith("video_") else {}
                with suppress(AttributeError, AssertionError):  # deleted or cancelled meanwhile
                    worker.complete(job_id, seconds=1.0, **files)

    thread = threading.Thread(target=work)
    thread.start()
    yield
    stop.set()
    thread.join()


class Things:
    """Makes what a path names, so that its operation has something to work on."""

    def __init__(self, url: str, api: httpx2.Client) -> None:
        self._url, self._api = url, api

    def id_for(self, name: str) -> str:
        """Return the id of a new thing for a parameter like `video_id`."""
        return str(getattr(self, f"_{name.removesuffix('_id')}")())

    def _model(self) -> str:
        return "univigu"

    def _video(self) -> str:
        return self._made("/v1/videos", json={"prompt": "a red circle"})

    def _caption(self) -> str:
        return self._made("/v1/captions", files={"video": FRAMES})

    def _file(self) -> str:
        line = {"custom_id": "a", "method": "POST", "url": "/v1/videos", "body": {"prompt": "x"}}
        files = {"file": json.dumps(line).encode()}
        return self._made("/v1/files", data={"purpose": "batch"}, files=files)

    def _upload(self) -> str:
        fields = {"purpose": "user_data", "filename": "a", "bytes": 9, "mime_type": "video/mp4"}
        return self._made("/v1/uploads", json=fields)

    def _batch(self) -> str:
        fields = {"endpoint": "/v1/videos", "completion_window": "24h"}
        return self._made("/v1/batches", json={"input_file_id": self._file(), **fields})

    def _webhook_endpoint(self) -> str:
        fields = {"name": "a", "url": self._url, "event_types": ["video.completed"]}
        return self._made("/v1/webhook_endpoints", json=fields)

    def _webhook_delivery(self) -> str:
        return "whd_none"  # the courier makes them, in another process

    def _made(self, path: str, **request: Any) -> str:
        response = self._api.post(path, **request)
        assert response.status_code == 200, response.text
        return str(response.json()["id"])


def is_announced(response: schemathesis.Response) -> bool:
    """Return whether a success, or an error with its code, is one that clients are told of."""
    if response.status_code < 400:
        return response.status_code in (200, 202)
    return response.json()["error"]["code"] in ERRORS.get(response.status_code, ())


@pytest.mark.usefixtures("busy")
def test_no_request_is_a_defect_or_answered_otherwise_than_announced(
    live_url: str, subtests: pytest.Subtests
) -> None:
    with httpx2.Client(base_url=live_url) as api:
        things = Things(live_url, api)
        for operation in operations():
            with subtests.test(operation.label):
                try_out(operation, live_url, things)


def try_out(operation: APIOperation, url: str, things: Things) -> None:
    path = {
        parameter.name: things.id_for(parameter.name) for parameter in operation.path_parameters
    }

    def check(case: Case) -> None:
        response = case.call(base_url=url, timeout=60)
        assert response.status_code < 500, f"{case.as_curl_command()}\n{response.text}"
        assert is_announced(response), f"{case.as_curl_command()}\n{response.text}"
        case.validate_response(response, checks=CHECKS)

    for mode in MODES:
        made_up = operation.as_strategy(generation_mode=mode, path_parameters=path or None)
        try:
            bounded(given(case=made_up)(check))()
        except Unsatisfiable:  # there is nothing to get wrong
            assert mode is GenerationMode.NEGATIVE


def bounded(test):
    return settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )(test)
