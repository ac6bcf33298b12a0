"""`/v1/uploads`: a large file in parts, each of which can be sent again."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import Depends

from contract.uploads import (
    UPLOAD_SECONDS,
    UploadRecord,
    UploadStatus,
    new_upload_id,
)
from server import routing
from server.auth import Account
from server.bodies import InjectedBody, checked
from server.errors import InvalidRequest
from server.limits import check_storage
from server.openapi import form_schema, json_schema
from server.repeats import InjectedOrigin, choose_id
from server.services import InjectedServices
from server.uploads import (
    PartCreate,
    Upload,
    UploadComplete,
    UploadCreate,
    UploadPart,
    assemble,
    check_pending,
    end,
    find_upload,
    store_part,
    upload_view,
)

router = routing.keyed_router("/v1/uploads", "files")

#: bytes of all parts, those sent again included, over the bytes of the file
_MAX_EXCESS = 4


def _find(services: InjectedServices, account: Account, upload_id: str) -> UploadRecord:
    return find_upload(services, account, upload_id)


Found = Annotated[UploadRecord, Depends(_find)]


@router.post("", openapi_extra=json_schema(UploadCreate))
def create_upload(services: InjectedServices, origin: InjectedOrigin, body: InjectedBody) -> Upload:
    """Announce a file that will come in parts, within the next hour."""
    fields = checked(UploadCreate, body)
    upload_id = choose_id(services, origin, new_upload_id(), fields)
    known = services.uploads.get(upload_id)
    if known:
        return upload_view(services, known)
    check_storage(services, origin.account, fields.bytes)
    now = time.time()
    record = UploadRecord(
        id=upload_id,
        account=origin.account,
        filename=fields.filename,
        purpose=fields.purpose,
        mime_type=fields.mime_type,
        bytes=fields.bytes,
        created_at=now,
        expires_at=now + UPLOAD_SECONDS,
        expires_after=fields.lifetime,
    )
    services.uploads.create(record)
    return upload_view(services, record)


@router.post("/{upload_id}/parts", openapi_extra=form_schema(PartCreate, file="data"))
def create_part(services: InjectedServices, record: Found, body: InjectedBody) -> UploadPart:
    """Store a part; parts may come in any order, and at the same time."""
    data = body.files.pop("data", None)
    checked(PartCreate, body)
    if data is None or not data.size:
        raise InvalidRequest(
            "give the bytes of the part (multipart field `data`)",
            param="data",
            code="missing_required_parameter" if data is None else "empty_file",
        )
    check_pending(record)
    stored = sum(services.uploads.parts(record.id).values())
    if data.size > record.bytes or stored + data.size > _MAX_EXCESS * record.bytes:
        raise InvalidRequest(
            f"data has {data.size} bytes, and {stored} are here already; {record.bytes} were "
            "announced",
            param="data",
        )
    part_id = store_part(services, record, data, data.size)
    return UploadPart(id=part_id, created_at=int(time.time()), upload_id=record.id)


@router.post("/{upload_id}/complete", openapi_extra=json_schema(UploadComplete))
def complete_upload(services: InjectedServices, record: Found, body: InjectedBody) -> Upload:
    """Make a file of the parts; one that is completed stays as it is."""
    fields = checked(UploadComplete, body)
    if record.status is not UploadStatus.COMPLETED:
        check_pending(record)
        record = assemble(services, record, fields)
    return upload_view(services, record)


@router.post("/{upload_id}/cancel")
def cancel_upload(services: InjectedServices, record: Found) -> Upload:
    """Give an upload up and delete its parts; one that is cancelled stays as it is."""
    if record.status is not UploadStatus.CANCELLED:
        check_pending(record)
        record = end(services, record, UploadStatus.CANCELLED)
    return upload_view(services, record)
