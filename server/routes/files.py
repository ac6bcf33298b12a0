"""`/v1/files`: videos to be captioned, inputs of batches and what came of them."""

from __future__ import annotations

import time
from typing import Annotated, Literal

from fastapi import Depends, Query, Request, Response

from contract.artifacts import file_folder, file_key
from contract.files import FileRecord, Purpose, expiry, new_file_id
from server import routing
from server.auth import Account
from server.bodies import InjectedBody, checked
from server.content import content_response
from server.errors import InvalidRequest, NotFound
from server.files import (
    MAX_NAME_CHARACTERS,
    FileCreate,
    FileDeleted,
    FileList,
    FileObject,
    file_content,
    file_view,
    find_file,
)
from server.limits import storage_for
from server.openapi import form_schema
from server.repeats import InjectedOrigin, choose_id
from server.services import InjectedServices

router = routing.keyed_router("/v1/files", "files")


def _find(services: InjectedServices, account: Account, file_id: str) -> FileRecord:
    return find_file(services, account, file_id)


Found = Annotated[FileRecord, Depends(_find)]


@router.post("", openapi_extra=form_schema(FileCreate, file="file"))
def create_file(
    services: InjectedServices, origin: InjectedOrigin, body: InjectedBody
) -> FileObject:
    """Keep a file."""
    file = body.files.pop("file", None)
    fields = checked(FileCreate, body)
    if file is None:
        raise InvalidRequest(
            "give a file (multipart field `file`)",
            param="file",
            code="missing_required_parameter",
        )
    file_id = choose_id(services, origin, new_file_id(), fields, file)
    known = services.files.get(file_id)
    if known:
        return file_view(known)
    now = time.time()
    record = FileRecord(
        id=file_id,
        account=origin.account,
        filename=_checked_name(file.filename or "file"),
        purpose=fields.purpose,
        bytes=file.size or 0,
        created_at=now,
        expires_at=expiry(fields.purpose, now, fields.lifetime),
    )
    with storage_for(services, origin.account, file_id, record.bytes):
        services.artifacts.put(file_key(file_id), file.file, "application/octet-stream")
        services.files.create(record)
    return file_view(record)


@router.get("")
def list_files(
    services: InjectedServices,
    account: Account,
    after: Annotated[str | None, Query(description="Start behind this id")] = None,
    limit: Annotated[int, Query(ge=1, le=10_000, description="Files per page")] = 10_000,
    order: Annotated[Literal["asc", "desc"], Query(description="By creation time")] = "desc",
    purpose: Annotated[Purpose | None, Query(description="Only those of this purpose")] = None,
) -> FileList:
    """List files."""
    if after is not None:
        try:
            find_file(services, account, after)
        except NotFound as error:
            raise InvalidRequest(f"after: {error.message}", param="after") from error
    ids = services.files.list_ids(limit + 1, after, order == "desc", account, purpose or "")
    data = [file_view(record) for record in services.files.get_many(ids[:limit])]
    return FileList(
        data=data,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
        has_more=len(ids) > limit,
    )


@router.get("/{file_id}")
def retrieve_file(record: Found) -> FileObject:
    """Return what is known of a file."""
    return file_view(record)


@router.delete("/{file_id}")
def delete_file(services: InjectedServices, record: Found) -> FileDeleted:
    """Delete a file. A job that has not read it yet fails; a batch goes on."""
    services.artifacts.delete_all(file_folder(record.id))
    services.files.delete(record)
    return FileDeleted(id=record.id)


@router.head("/{file_id}/content", include_in_schema=False)
@router.get("/{file_id}/content", response_class=Response)
def file_bytes(request: Request, services: InjectedServices, record: Found) -> Response:
    """Return the bytes of a file; byte ranges work."""
    return content_response(file_content(services, record), request)


def _checked_name(name: str) -> str:
    if len(name) > MAX_NAME_CHARACTERS:
        raise InvalidRequest(
            f"file: its name has {len(name)} characters; allowed: at most {MAX_NAME_CHARACTERS}",
            param="file",
        )
    return name
