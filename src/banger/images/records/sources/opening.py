"""The source that a source reference means, open while it is used."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from importlib import import_module
from pathlib import Path

from banger.errors import Error
from banger.host.thread import in_thread
from banger.images.disks.source import Source, SourceContext
from banger.images.fetch.byte_range import ByteRange
from banger.images.fetch.lifeline import Lifeline, on_lifeline
from banger.images.records.sources.archive import Archive
from banger.images.records.sources.files import Directory, open_file
from banger.images.records.sources.forms import INFLATED, Form, form_of, not_a_tar
from banger.images.records.sources.layout import LayoutSource
from banger.images.records.sources.saved import choose_form
from banger.images.records.sources.spool import spool_inflated, spool_stream
from banger.images.records.sources.tarball import TarSource
from banger.images.reference.reference import (
    DockerArchive,
    OciArchive,
    OciLayout,
    Reference,
    SourceRef,
    StandardInput,
    TarFile,
)


def open_source(source: SourceRef, context: SourceContext) -> AbstractAsyncContextManager[Source]:
    """The context of a source. Entering it raises `file_not_found`, `image_invalid`, `bad_request`,
    `insufficient_disk`."""
    return _open_remote(source, context) if isinstance(source, Reference) else _open_local(source, context)


@asynccontextmanager
async def _open_remote(reference: Reference, context: SourceContext) -> AsyncIterator[Source]:
    """Load the HTTP library when it is first needed, which takes a while."""
    module = await in_thread(import_module, "banger.images.records.sources.registry")
    async with module.open_registry(reference, context) as source:
        yield source


@asynccontextmanager
async def _open_local(
    source: OciLayout | OciArchive | DockerArchive | TarFile | StandardInput, context: SourceContext
) -> AsyncIterator[Source]:
    with ExitStack() as owned:
        match source:
            case OciLayout(path, tag):
                directory = await on_lifeline(lambda _: Directory(path))
                owned.callback(directory.close)
                yield LayoutSource(directory, tag, path)
            case OciArchive(path, wanted) | DockerArchive(path, wanted):
                archive = await _open_archive(path, context)
                owned.callback(archive.close)
                yield choose_form(archive, wanted)
            case TarFile(path):
                yield await _open_tar(await _open_file(path), path, context, owned)
            case StandardInput():
                yield await _open_tar(await _read_stdin(context), "standard input", context, owned)


async def _open_file(path: str) -> ByteRange:
    """Open a file at a user's path, in a thread: its file system may hang."""
    return await on_lifeline(lambda _: open_file(path))


async def _open_archive(path: str, context: SourceContext) -> Archive:
    """Open an archive. A compressed archive is inflated into the cache first."""
    file = await _open_file(path)
    try:
        return await on_lifeline(lambda line: Archive(_seekable(file, path, context, line), path, line))
    except BaseException:
        file.close()
        raise


def _seekable(file: ByteRange, name: str, context: SourceContext, line: Lifeline) -> ByteRange:
    """The file itself, or its inflated contents. Raises `image_invalid` for a file that is not a tar file."""
    form = form_of(file)
    if form is Form.TAR:
        return file
    if form not in INFLATED:
        raise not_a_tar(name, form)
    with file:
        inflated = spool_inflated(file, context.store.make(), line, context.keep_free_bytes)
    inside = form_of(inflated)
    if inside is not Form.TAR:
        inflated.close()
        raise not_a_tar(name, form, inside)
    return inflated


async def _open_tar(file: ByteRange, name: str, context: SourceContext, owned: ExitStack) -> TarSource:
    source = TarSource(file, name, await in_thread(context.store.make), context.keep_free_bytes)
    owned.callback(source.close)
    return source


async def _read_stdin(context: SourceContext) -> ByteRange:
    if context.stdin is None:
        raise Error("bad_request", "no standard input came with the request", "use tar:FILE for a file")
    directory: Path = await in_thread(context.store.make)
    return await spool_stream(context.stdin, directory, context.keep_free_bytes)
