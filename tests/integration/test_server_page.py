"""The demo page's files over HTTP: right types, fresh after an update, nothing from elsewhere."""

import re

from fastapi.testclient import TestClient

from server.routes.page import WEB

TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg"}
FILES = sorted(path.name for path in WEB.iterdir())


def test_the_page_is_at_the_root_and_needs_no_worker(api: TestClient) -> None:
    response = api.get("/")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    assert api.head("/").headers["content-length"] == response.headers["content-length"]


def test_every_file_has_its_type_and_may_load_nothing_from_elsewhere(api: TestClient) -> None:
    for name in FILES:
        response = api.get(f"/web/{name}")
        suffix = "." + name.rpartition(".")[2]
        assert response.headers["content-type"].startswith(TYPES[suffix]), name
        assert response.headers["x-content-type-options"] == "nosniff"
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)", response.text) == [], name


def test_a_browser_asks_each_time_and_is_told_that_nothing_changed(api: TestClient) -> None:
    first = api.get("/")
    assert first.headers["cache-control"] == "no-cache"
    again = api.get("/", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_nothing_beside_the_page_is_served(api: TestClient) -> None:
    for path in ("/web/none.js", "/web/../app.py", "/web/%2e%2e/app.py", "/web"):
        response = api.get(path)
        assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found"), path


def test_every_file_is_loaded_at_once_and_no_other_is_asked_for(api: TestClient) -> None:
    named = set(re.findall(r'"/web/([\w.-]+)"', api.get("/").text))
    assert named | {"index.html"} == set(FILES)
    for name in FILES:
        assert set(re.findall(r'from "\./([\w.-]+)"', api.get(f"/web/{name}").text)) <= named


def test_made_up_names_are_not_counted_one_by_one(api: TestClient) -> None:
    for path in ("/web/made-up.js", "/web/made/up.js", "/web/page.css"):
        api.get(path)
    counted = re.findall(r'route="([^"]*)"', api.get("/metrics").text)
    assert set(counted) == {"none"}
