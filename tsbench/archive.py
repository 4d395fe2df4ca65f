"""Archive: result files in one tar.gz or zip, with a manifest; read so that no archive can do harm.

The first member is `manifest.json`: name, sha256 and size of every other one. Reading accepts the names that results
have and nothing else, no links or devices, and no byte beyond the sizes that the manifest gives.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import os
import re
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import IO, Any, cast

from tsbench.errors import TsbenchError, UsageError

FORMAT = 1
MANIFEST = "manifest.json"
BLOCK = 1 << 20
MOST_JSON = 1 << 28  # bytes of one JSON file, which is read as a whole
MOST_BYTES = 1 << 36  # of all files together
#: The only names there may be, below the results folder.
NAMES = re.compile(
    r"(?P<kind>cells|failures)/(?P<key>[0-9a-f]{32})\.json"
    r"|artifacts/(?P<of>[0-9a-f]{32})/(weights\.pt|model\.json)"
    r"|studies/[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}\.json"
)


def write_archive(target: Path, files: dict[str, Path]) -> int:
    """Write files under their names in the archive; equal files give equal bytes. Returns the size of the archive.

    Raises:
        UsageError: `target` exists, or its name is of no known kind.
        TsbenchError: a file changed while it was read.
    """
    if not target.name.endswith((".tar.gz", ".tgz", ".zip")):
        raise UsageError(f"{target}: name it .tar.gz, .tgz or .zip")
    if target.exists():
        raise UsageError(f"{target} exists; choose another name or delete it")
    listed = {name: (_digest(path), path.stat().st_size) for name, path in files.items()}
    manifest = json.dumps({"tsbench": "results", "format": FORMAT, "files": listed}, indent=0).encode()
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as out:
            (_write_zip if target.suffix == ".zip" else _write_tar)(out, manifest, files, listed)
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return target.stat().st_size


Listed = dict[str, tuple[str, int]]  # name -> sha256 and size


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_tar(out: IO[bytes], manifest: bytes, files: dict[str, Path], listed: Listed) -> None:
    with (
        gzip.GzipFile(fileobj=out, mode="wb", mtime=0, filename="") as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name, size in [(MANIFEST, len(manifest)), *((name, size) for name, (_, size) in listed.items())]:
            member = tarfile.TarInfo(name)
            member.size, member.mode = size, 0o644
            tar.addfile(member, io.BytesIO(manifest) if name == MANIFEST else _Same(files[name], *listed[name]))


def _write_zip(out: IO[bytes], manifest: bytes, files: dict[str, Path], listed: Listed) -> None:
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in (MANIFEST, *files):
            member = zipfile.ZipInfo(name)  # of 1980: the time of day is no content
            member.compress_type, member.external_attr = zipfile.ZIP_DEFLATED, (stat.S_IFREG | 0o644) << 16
            source = io.BytesIO(manifest) if name == MANIFEST else _Same(files[name], *listed[name])
            with archive.open(member, "w", force_zip64=True) as inside:
                while block := source.read(BLOCK):
                    inside.write(block)


class _Same(io.RawIOBase):
    """A file that must still be what its digest was taken of, when it is read to its end."""

    def __init__(self, path: Path, sha256: str, size: int) -> None:
        self.content = Checked(path.open("rb"), str(path), sha256, size)

    def read(self, size: int = -1) -> bytes:
        """Read on, and check at the end."""
        block = self.content.read(size)
        if self.content.left == 0:
            self.content.finish()
            self.content.stream.close()
        return block


class Checked:
    """The content of a member: at most as many bytes as listed, and at the end with the listed sha256."""

    def __init__(self, stream: IO[bytes], name: str, sha256: str, size: int) -> None:
        self.stream, self.name, self.sha256, self.left = stream, name, sha256, size
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, or the rest."""
        wanted = self.left if size < 0 else min(size, self.left)
        parts = []
        while wanted:
            with _sound(self.name):
                block = self.stream.read(min(wanted, BLOCK))
            if not block:
                raise TsbenchError(f"{self.name} is cut off. Nothing of it was taken; get the file again.")
            self.digest.update(block)
            self.left, wanted = self.left - len(block), wanted - len(block)
            parts.append(block)
        return b"".join(parts)

    def finish(self) -> None:
        """Read what is left.

        Raises:
            TsbenchError: the content is not what was listed.
        """
        while self.left:
            self.read(BLOCK)
        if self.digest.hexdigest() != self.sha256:
            raise TsbenchError(f"{self.name} has another sha256 than listed: it was changed. Get the file again.")


@contextlib.contextmanager
def _sound(where: object) -> Iterator[None]:
    """Whatever Python's readers of archives raise over damaged bytes becomes one error."""
    try:
        yield
    except TsbenchError:
        raise
    except Exception as error:  # these parsers may fail in any way over bytes that may be anything
        told = str(error) or type(error).__name__
        raise TsbenchError(f"{where} is damaged or cut off ({told}). Get the file again; nothing was lost.") from None


def read_archive(path: Path, limit: int = MOST_BYTES) -> Iterator[tuple[str, Checked]]:
    """The members of an archive one by one, with their content, each being checked when the next is asked for.

    Args:
        path: the archive.
        limit: bytes that all files may have together.

    Raises:
        TsbenchError: it is no archive of tsbench, damaged, incomplete, too large, or holds what results do not have.
    """
    with contextlib.closing(_members(path, limit)) as members:
        name, stream = next(members, ("", io.BytesIO()))
        if name != MANIFEST:
            raise TsbenchError(f"{path} is no archive of `tsbench export`: its first file is no {MANIFEST}")
        text = io.BytesIO()
        with _sound(path):
            while text.tell() <= MOST_JSON and (block := stream.read(BLOCK)):
                text.write(block)
        listed = _read_manifest(path, text.getvalue(), limit)
        for name, stream in members:
            if name not in listed:
                raise _refused(path, name, "is listed twice or not at all")
            content = Checked(stream, f"{path}: {name}", *listed.pop(name))
            yield name, content
            content.finish()
    if listed:
        raise TsbenchError(
            f"{path} is cut off: it lacks {len(listed)} files, first {next(iter(listed))}. Get it again."
        )


def _read_manifest(path: Path, text: bytes, limit: int) -> Listed:
    try:
        manifest = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TsbenchError(f"{path}: {MANIFEST} cannot be read ({error}). Get the file again.") from None
    if not isinstance(manifest, dict) or manifest.get("tsbench") != "results":
        raise TsbenchError(f"{path} is no archive of `tsbench export`")
    if manifest.get("format") != FORMAT:
        raise TsbenchError(f"{path}: format {manifest.get('format')!r}; this version reads {FORMAT}. Update tsbench.")
    files = manifest.get("files")
    if not isinstance(files, dict):
        raise TsbenchError(f"{path}: {MANIFEST} lists no files. Get the file again.")
    listed: Listed = {}
    for name, entry in files.items():
        if not NAMES.fullmatch(name):
            raise _refused(path, name, "is no name that a result has")
        match entry:
            case [str(sha256), int(size)] if re.fullmatch("[0-9a-f]{64}", sha256) and size >= 0:
                listed[name] = (sha256, size)
            case _:
                raise TsbenchError(f"{path}: {MANIFEST} has no sha256 and size of {name}. Get the file again.")
        if name.endswith(".json") and listed[name][1] > MOST_JSON:
            raise _refused(path, name, f"would have more than {MOST_JSON >> 20} MB, which no result has")
    if (total := sum(size for _, size in listed.values())) > limit:
        raise TsbenchError(f"{path} would expand to {total / 1e9:.1f} GB, and there is room for {limit / 1e9:.1f} GB.")
    return listed


def _refused(path: Path, name: str, why: str) -> TsbenchError:
    return TsbenchError(f"{path}: its member {name[:200]!r} {why}. The archive is refused; nothing of it was taken.")


def _members(path: Path, limit: int) -> Generator[tuple[str, IO[bytes]], None, None]:
    """Name and content of every member, in order; whatever is no plain file is refused."""
    with path.open("rb") as file:
        start = file.read(4)
    if start[:2] == b"\x1f\x8b":
        reader = _tar(path, limit)
    elif start == b"PK\x03\x04":
        reader = _zip(path)
    else:
        raise TsbenchError(f"{path} is neither tar.gz nor zip, so it is no archive of `tsbench export`")
    while True:
        with _sound(path):
            member = next(reader, None)
        if member is None:
            return
        yield member


def _tar(path: Path, limit: int) -> Iterator[tuple[str, IO[bytes]]]:
    with gzip.open(path) as unpacked:
        bounded = cast(IO[bytes], _Bounded(unpacked, path, 2 * limit + 4 * BLOCK))
        with tarfile.open(fileobj=bounded, mode="r:") as tar:
            for member in tar:
                tarfile.data_filter(member, "results")  # raises for devices, absolute names, ways out of the folder
                if not member.isreg() or member.issparse():
                    raise _refused(path, member.name, "is a link, a folder or no plain file")
                yield member.name, cast(IO[bytes], tar.extractfile(member))
        while bounded.read(BLOCK):
            pass  # the checksum of gzip comes last


def _zip(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            kind = stat.S_IFMT(member.external_attr >> 16)
            plain = kind in (0, stat.S_IFREG) and not member.is_dir() and not member.flag_bits & 1
            if not plain or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise _refused(path, member.filename, "is a link, a folder, locked or no plain file")
            with archive.open(member) as stream:
                yield member.orig_filename, stream


class _Bounded:
    """An unpacked stream that gives so many bytes in all, and few at once: tarfile trusts the sizes that it reads."""

    def __init__(self, stream: Any, path: Path, most: int) -> None:
        self.stream, self.path, self.most = stream, path, most
        self.tell = stream.tell

    def _check(self, place: int, step: int) -> None:
        if step > 4 * BLOCK or place > self.most:
            raise TsbenchError(f"{self.path} expands too much, so it is refused; nothing of it was taken.")

    def read(self, size: int) -> bytes:
        """The next bytes."""
        self._check(self.tell() + size, size)
        return bytes(self.stream.read(size))

    def seek(self, place: int) -> int:
        """Go on to a place."""
        self._check(place, 0)
        return int(self.stream.seek(place))
