"""The README's settings table is complete; run this file to write it anew."""

from pathlib import Path

from pydantic_settings import BaseSettings

from cli.settings import ClientSettings
from contract.settings import SharedSettings
from server.settings import ServerSettings
from worker.settings import WorkerSettings

README = Path(__file__).parents[2] / "README.md"
START, END = (
    "<!-- settings: written by `python tests/unit/test_docs_settings.py` -->",
    "<!-- /settings -->",
)
READERS: dict[str, type[BaseSettings]] = {
    "all": SharedSettings,
    "api": ServerSettings,
    "worker": WorkerSettings,
    "client": ClientSettings,
}


def settings_table() -> str:
    rows = ["| variable `UNIVIGU_...` | read by | default | meaning |", "|---|---|---|---|"]
    seen: set[str] = set()
    for reader, kind in READERS.items():
        for name, field in kind.model_fields.items():
            if name not in seen:
                seen.add(name)
                rows.append(
                    f"| `{name.upper()}` | {reader} | {_default(field)} | {field.description} |"
                )
    return "\n".join(rows)


def _default(field: object) -> str:
    default = getattr(field, "default", None)
    if getattr(field, "default_factory", None) is not None or default is None or default == ():
        return "unset"
    return f"`{default}`"


def test_the_readme_lists_every_setting_as_it_is() -> None:
    between = README.read_text().split(START)[1].split(END)[0]
    assert between.strip() == settings_table()


def test_every_setting_says_what_it_means() -> None:
    for kind in READERS.values():
        assert all(field.description for field in kind.model_fields.values())


if __name__ == "__main__":
    text = README.read_text()
    before, rest = text.split(START)
    README.write_text(f"{before}{START}\n{settings_table()}\n{END}{rest.split(END)[1]}")
