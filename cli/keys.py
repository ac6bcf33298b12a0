"""`univigu keys`: make API keys, look at them, take them back; straight in the service's Redis."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from cli.terminal import FAILED, refuse

if TYPE_CHECKING:
    from contract.keys import ApiKey, KeyStore

app = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True)

Limit = Annotated[int | None, typer.Option(help="Of this key, instead of the server's.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object per key on stdout.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Who or what the key is for.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="videos, captions, files, batches or webhooks, with or without :read or :write; "
            "or admin. Repeatable. Default: all but admin."
        ),
    ] = None,
    max_creates_per_minute: Limit = None,
    max_live_jobs: Limit = None,
    max_live_batches: Limit = None,
    max_storage_bytes: Limit = None,
    as_json: Json = False,
) -> None:
    """Make a key and show it, this once; nobody can read it again."""
    from contract.keys import parse_scopes

    with _key_store() as keys:
        try:
            key, secret = keys.create(
                name,
                parse_scopes(scope or ()),
                max_creates_per_minute=max_creates_per_minute,
                max_live_jobs=max_live_jobs,
                max_live_batches=max_live_batches,
                max_storage_bytes=max_storage_bytes,
            )
        except ValueError as error:
            refuse(_in_words(error))
    if as_json:
        _print_json(key, None, secret)
    else:
        typer.echo(secret)
        typer.echo(f"{key.id}, {', '.join(sorted(key.scopes))}", err=True)


@app.command("list")
def list_keys(as_json: Json = False) -> None:
    """Show every key ever made, oldest first, without the keys themselves."""
    with _key_store() as keys:
        found, used = keys.all(), keys.last_used()
    for key in found:
        if as_json:
            _print_json(key, used.get(key.id))
        else:
            state = "revoked" if key.revoked_at else f"last used {_when(used.get(key.id))}"
            scopes = " ".join(sorted(key.scopes))
            typer.echo(f"{key.id}  ...{key.hint}  {key.name}  {state}  {scopes}")


@app.command()
def revoke(key_id: Annotated[str, typer.Argument(help="Such as key_0123456789abcdef.")]) -> None:
    """Make a key worthless within a second and cancel its batches; its jobs stay."""
    with _key_store() as keys:
        if not keys.revoke(key_id):
            typer.echo(f"error: there is no key {key_id!r}", err=True)
            raise typer.Exit(FAILED)
    typer.echo(f"{key_id} is revoked", err=True)


@contextmanager
def _key_store() -> Iterator[KeyStore]:
    import redis

    from cli.embedded import redis_of
    from cli.settings import read_settings
    from contract.keys import KeyStore
    from contract.settings import SharedSettings

    settings = read_settings(SharedSettings)
    with ExitStack() as stack:
        try:
            embedded = settings.data_dir / "redis"
            url = stack.enter_context(redis_of(settings.redis_url, embedded))
            connection = stack.enter_context(redis.Redis.from_url(url, socket_timeout=5))
            connection.ping()
        except (redis.RedisError, RuntimeError, ValueError) as error:
            refuse(f"no Redis: {error}")
        yield KeyStore(connection)


def _print_json(key: ApiKey, last_used_at: int | None, secret: str | None = None) -> None:
    import json

    row = key.model_dump(mode="json", exclude={"digest"})
    row["scopes"] = sorted(row["scopes"])
    row["last_used_at"] = last_used_at
    typer.echo(json.dumps(row if secret is None else {"key": secret, **row}))


def _when(at: int | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at)) if at else "never"


def _in_words(error: ValueError) -> str:
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return str(error)
    (found, *_) = error.errors()
    return f"{found['loc'][0]}: {found['msg']}, got {found['input']!r}"
