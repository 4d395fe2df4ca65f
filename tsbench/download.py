"""Data files: list, fetch and check. pooch downloads and verifies; an interrupted download is continued.

An address such as `https://.../X.zip#X_TRAIN.ts` means a file inside an archive, which is kept beside it: the next file
may be inside it too.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import requests

from tsbench.dataset import Dataset, Source, file_digest, find_file
from tsbench.errors import MissingData, TsbenchError, UsageError, unknown
from tsbench.registry import all_datasets

TRIES = 4
CHUNK = 1 << 16


def command(args: argparse.Namespace) -> int:
    """`tsbench data list|fetch|check`; 1 if a file is bad or could not be fetched."""
    if args.action == "fetch" and not args.names:
        raise UsageError("name what to fetch, for example: tsbench data fetch ltsf, or ltsf/etth1")
    sources = select(args.names)
    for name in args.names:
        if not select([name]):
            print(f"{name}: needs no file")
    if args.action == "list":
        return _list(sources, args.data)
    failed = 0
    for source in sources:
        try:
            told = fetch(source, args.data, args.mirror) if args.action == "fetch" else check(source, args.data)
        except MissingData as error:
            told = f"not there: {error}"
            failed += args.action == "fetch" or bool(args.names)
        except TsbenchError as error:
            told, failed = f"BAD: {error}", failed + 1
        print(f"{source.file}: {told}", flush=True)
    return 1 if failed else 0


def select(names: Sequence[str]) -> dict[Source, list[Dataset]]:
    """Sources of the data sets whose names begin with one of `names`; all for none."""
    chosen: dict[Source, list[Dataset]] = {}
    known = all_datasets()
    for name in names:
        if not any(n == name or n.startswith(name + "/") for n in known):
            raise unknown(
                "family or data set",
                name,
                {n.rsplit("/", 1)[0] for n in known} | {n.split("/")[0] for n in known},
            )
    for name, dataset in known.items():
        if not names or any(name == n or name.startswith(n + "/") for n in names):
            for source in dataset.sources:
                chosen.setdefault(source, []).append(dataset)
    return chosen


def _list(sources: dict[Source, list[Dataset]], root: Path) -> int:
    width = max((len(source.file) for source in sources), default=0)
    for source, datasets in sources.items():
        try:
            found = find_file(root, source.file)
            state = f"there ({found.stat().st_size / 1e6:.1f} MB)"
        except MissingData:
            state = "missing"
        family = datasets[0].name.rsplit("/", 1)[0]
        print(f"{source.file:{width}} {state:18} {family:18} {source.licence}; {source.citation}")
    print(f"data folder: {root.resolve()}")
    return 0


def check(source: Source, root: Path) -> str:
    """Verify a file's checksum, then read it as its data set does.

    Raises:
        MissingData: it is absent.
        TsbenchError: it is not the file it should be.
    """
    path = find_file(root, source.file)
    try:
        digest = file_digest(path)
    except (OSError, EOFError, zlib.error) as error:
        raise TsbenchError(f"{path} cannot be read ({error}). Delete it and fetch it again.") from None
    dataset = next(d for d in all_datasets().values() if source in d.sources)
    dataset.load(root, next(iter(dataset.protocols)))
    if source.sha256 is None:
        return f"shape good; content not verified, no trustworthy checksum is known (sha256 {digest})"
    if digest != source.sha256:
        raise TsbenchError(
            f"{path} has the right shape but sha256 {digest} instead of {source.sha256}. It may be the same numbers "
            "written otherwise; to be sure, delete it and fetch it again."
        )
    return "good"


def fetch(source: Source, root: Path, mirror: str | None = None) -> str:
    """Download a file unless it is there, verify it, and only then give it its name.

    Raises:
        TsbenchError: it cannot be had, or is not the right file; what was downloaded in part is kept for next time.
    """
    try:
        return f"already there: {find_file(root, source.file)}"
    except MissingData:
        pass
    target = root / source.file
    addresses = [f"{mirror.rstrip('/')}/{target.name}"] if mirror else [source.url, *source.others]
    if not addresses[0]:
        raise MissingData(f"it cannot be fetched by a program; put it at {target} ({source.citation})")
    target.parent.mkdir(parents=True, exist_ok=True)
    failures = []
    for address in addresses:
        try:
            _get(address, target, source.sha256)
            break
        except TsbenchError as error:
            failures.append(str(error))
    else:
        raise TsbenchError(f"{' '.join(failures)} Run the command again to continue, or put the file at {target}.")
    _part(target).unlink(missing_ok=True)
    if source.sha256 is None:
        return f"fetched, NOT verified: no trustworthy checksum is known (sha256 {file_digest(target)})"
    return "fetched and verified"


def _get(address: str, target: Path, sha256: str | None) -> None:
    """One address: a file, or a file inside an archive."""
    url, _, member = address.partition("#")
    if not member:
        _download(url, target, sha256)
        return
    archive = target.with_name(PurePosixPath(url).name)
    if not archive.exists():
        _download(url, archive, None)
    try:
        _extract(archive, member, target, sha256)
    except TsbenchError:
        with contextlib.suppress(OSError):  # the reason is told, even where nothing may be deleted
            archive.unlink()
        raise


def _download(url: str, target: Path, sha256: str | None) -> None:
    import pooch

    try:
        known = f"sha256:{sha256}" if sha256 else None
        pooch.get_logger().setLevel("ERROR")
        pooch.retrieve(url, known, fname=target.name, path=target.parent, downloader=Resuming(target))
    except (requests.RequestException, OSError) as error:
        raise TsbenchError(f"{url}: {error}.") from None
    except ValueError as error:  # pooch's word for a wrong checksum
        _part(target).unlink(missing_ok=True)
        raise TsbenchError(f"{url}: {str(error).splitlines()[0]} The download was discarded.") from None
    _part(target).unlink(missing_ok=True)


def _extract(archive: Path, member: str, target: Path, sha256: str | None) -> None:
    """Copy a file out of an archive, whatever folder it has in there, and only when it is good give it its name."""
    part = _part(target)
    try:
        with zipfile.ZipFile(archive) as opened:
            inside = [name for name in opened.namelist() if PurePosixPath(name).name == member]
            if not inside:
                raise TsbenchError(f"{archive.name} has no file {member}. It was discarded.")
            with opened.open(inside[0]) as file, part.open("wb") as copy:
                shutil.copyfileobj(file, copy)
        if sha256 and (digest := file_digest(part)) != sha256:
            raise TsbenchError(f"{member} of {archive.name} has sha256 {digest}, not {sha256}. It was discarded.")
        part.replace(target)
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        RuntimeError,
        NotImplementedError,
    ) as error:  # RuntimeError: locked
        raise TsbenchError(f"{archive.name} is no sound zip archive ({error}). It was discarded.") from None
    except OSError as error:
        problem = f"{member} cannot be extracted from {archive.name} into {target.parent} ({error.strerror})."
        raise TsbenchError(f"{problem} Make room there, or name another folder with --data.") from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def _part(target: Path) -> Path:
    return target.with_name(target.name + ".part")


class Resuming:
    """A downloader for pooch that continues a partial file, tries again when the line breaks, and shows progress."""

    def __init__(self, target: Path) -> None:
        self.part = _part(target)

    def __call__(self, url: str, output: Any, pooch: Any) -> None:
        """Download `url` to the file `output`, by way of `<target>.part`, which outlives an interruption."""
        for attempt in range(TRIES):
            try:
                self._continue(url)
                break
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError):
                if attempt == TRIES - 1:
                    raise
        shutil.copyfile(self.part, output)

    def _continue(self, url: str) -> None:
        from tqdm import tqdm

        have = self.part.stat().st_size if self.part.exists() else 0
        headers = (
            {"Range": f"bytes={have}-", "Accept-Encoding": "identity"} if have else {"Accept-Encoding": "identity"}
        )
        with requests.get(url, headers=headers, stream=True, timeout=30) as response:
            if response.status_code == requests.codes.requested_range_not_satisfiable:
                return  # all of it was there already; the checksum will tell
            response.raise_for_status()
            if response.status_code != requests.codes.partial_content:
                have = 0  # the server starts over
            size = int(response.headers.get("Content-Length", 0)) + have
            bar = tqdm(total=size or None, initial=have, unit="B", unit_scale=True, desc=self.part.stem, leave=False)
            with self.part.open("ab" if have else "wb") as file, bar:
                for chunk in response.iter_content(CHUNK):
                    file.write(chunk)
                    bar.update(len(chunk))
            if size and self.part.stat().st_size < size:
                raise requests.ConnectionError(f"broke off at {self.part.stat().st_size} of {size} bytes")
