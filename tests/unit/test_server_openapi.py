"""The API is what the committed document says: a change of it is a visible difference.

After a change on purpose: `python tests/unit/test_server_openapi.py` writes the document anew.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from server.app import create_app
from server.settings import ServerSettings

SNAPSHOT = Path(__file__).parents[1] / "data" / "openapi.json"


def document(data_dir: Path) -> dict[str, Any]:
    return create_app(ServerSettings(redis_url="redis://unused", data_dir=data_dir)).openapi()


@pytest.fixture
def api(tmp_path: Path) -> dict[str, Any]:
    return document(tmp_path)


def test_the_document_equals_the_committed_one(api: dict[str, Any]) -> None:
    assert api == json.loads(SNAPSHOT.read_text())


def test_no_operation_announces_422(api: dict[str, Any]) -> None:
    operations = [operation for path in api["paths"].values() for operation in path.values()]
    assert all("422" not in operation["responses"] for operation in operations)
    assert all("default" in operation["responses"] for operation in operations)


def test_every_operation_and_field_of_a_request_is_described(api: dict[str, Any]) -> None:
    for path in api["paths"].values():
        for operation in path.values():
            assert operation["description"]
            content = operation.get("requestBody", {}).get("content", {})
            for body in content.values():
                fields = _resolved(api, body["schema"])["properties"].values()
                assert all("description" in field for field in fields)


def _resolved(api: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an object; that of one which may be left out is its first choice."""
    (schema, *_) = schema.get("anyOf", [schema])
    name = schema.get("$ref", "").rpartition("/")[2]
    return api["components"]["schemas"][name] if name else schema


def test_the_page_about_the_api_lists_exactly_its_operations(api: dict[str, Any]) -> None:
    page = (SNAPSHOT.parents[2] / "docs" / "api.md").read_text()
    listed = re.findall(r"^\| `([A-Z]+ /\S+)` \|", page, flags=re.MULTILINE)
    offered = [
        f"{method.upper()} {path}"
        for path, operations in api["paths"].items()
        for method in operations
    ]
    assert sorted(listed) == sorted(offered)


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        text = json.dumps(document(Path(folder)), indent=1, ensure_ascii=False)
        SNAPSHOT.write_text(text + "\n")
