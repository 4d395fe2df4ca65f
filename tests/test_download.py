"""Downloads, from a real HTTP server on loopback that can be broken in several ways."""

from __future__ import annotations

import hashlib
import io
import random
import re
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.conftest import Command
from tsbench.dataset import Source
from tsbench.download import fetch
from tsbench.errors import TsbenchError

CONTENT = b"date,a\n" + b"".join(b"2020-01-%02d,%d\n" % (1 + i % 28, i) for i in range(20_000))


class Handler(BaseHTTPRequestHandler):
    """Serves `server.files`, and CONTENT under every other name but those in `server.absent`.

    `server.breaks` makes the next requests stop half-way, `server.ranges` allows continuing.
    """

    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        self.server.paths.append(self.path)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.server.ranges else 0
        body = self.server.files.get(self.path, self.server.content)[start:]
        status = 404 if self.path in self.server.absent else self.server.status
        self.send_response(status or (206 if start else 200))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.server.breaks > 0:
            self.server.breaks -= 1
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self.connection.close()
            return
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    content, breaks, ranges, status = CONTENT, 0, True, 0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str | None] = []
        self.paths: list[str] = []
        self.files: dict[str, bytes] = {}
        self.absent: set[str] = set()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield running
    running.shutdown()
    running.server_close()


def source(server: Server, sha256: str | None = None) -> Source:
    digest = sha256 or hashlib.sha256(CONTENT).hexdigest()
    return Source("ltsf/file.csv", f"http://127.0.0.1:{server.server_port}/file.csv", digest, "", "")


def test_fetches_verifies_and_does_not_fetch_again(server: Server, tmp_path: Path) -> None:
    assert fetch(source(server), tmp_path) == "fetched and verified"
    assert (tmp_path / "ltsf" / "file.csv").read_bytes() == CONTENT
    assert fetch(source(server), tmp_path).startswith("already there")
    assert len(server.asked) == 1


def test_a_broken_line_is_continued_where_it_broke(server: Server, tmp_path: Path) -> None:
    server.breaks = 2
    fetch(source(server), tmp_path)
    assert (tmp_path / "ltsf" / "file.csv").read_bytes() == CONTENT
    assert server.asked[0] is None
    assert [a is not None and a != "bytes=0-" for a in server.asked[1:]] == [True, True]
    assert [p.name for p in (tmp_path / "ltsf").iterdir()] == ["file.csv"]


def test_an_interrupted_download_is_continued_by_the_next_command(server: Server, tmp_path: Path) -> None:
    server.breaks = 99
    with pytest.raises(TsbenchError, match="Run the command again to continue"):
        fetch(source(server), tmp_path)
    part = tmp_path / "ltsf" / "file.csv.part"
    have = part.stat().st_size
    assert 0 < have < len(CONTENT)
    assert not (tmp_path / "ltsf" / "file.csv").exists(), "half a file never gets the name of a whole one"
    server.breaks = 0
    fetch(source(server), tmp_path)
    assert server.asked[-1] == f"bytes={have}-"
    assert (tmp_path / "ltsf" / "file.csv").read_bytes() == CONTENT


def test_a_server_that_cannot_continue_starts_over(server: Server, tmp_path: Path) -> None:
    server.ranges, server.breaks = False, 1
    fetch(source(server), tmp_path)
    assert (tmp_path / "ltsf" / "file.csv").read_bytes() == CONTENT


def test_a_wrong_file_is_discarded(server: Server, tmp_path: Path) -> None:
    with pytest.raises(TsbenchError, match="discarded"):
        fetch(source(server, "0" * 64), tmp_path)
    assert list((tmp_path / "ltsf").iterdir()) == []


@pytest.mark.parametrize("status", [404, 500])
def test_an_error_of_the_server_names_the_address_and_the_place_to_put_the_file(
    server: Server, tmp_path: Path, status: int
) -> None:
    server.status = status
    with pytest.raises(TsbenchError, match=rf"{status}.*put the file at .*ltsf/file\.csv"):
        fetch(source(server), tmp_path)


def test_command_fetches_from_a_mirror_and_checks(
    real_data: Path, tsbench: Command, tmp_path: Path, server: Server
) -> None:
    server.content = (real_data / "ltsf" / "national_illness.csv").read_bytes()
    mirror = f"http://127.0.0.1:{server.server_port}"
    assert re.search(r"national_illness\.csv +missing", tsbench("data", "list", "ltsf").stdout)
    fetched = tsbench("data", "fetch", "ltsf/ili", "--mirror", mirror)
    assert "fetched and verified" in fetched.stdout, fetched.stderr
    assert "good" in tsbench("data", "check", "ltsf/ili").stdout
    path = tmp_path / "data" / "ltsf" / "national_illness.csv"
    path.write_bytes(path.read_bytes()[:-3])
    spoilt = tsbench("data", "check", "ltsf/ili")
    assert spoilt.returncode == 1
    assert "BAD" in spoilt.stdout


# ---------------------------------------------------------------- files inside archives, and other addresses

SERIES = {part: f"@data\n1,2:3,4:{part}\n".encode() * 500 for part in ("TRAIN", "TEST")}


def zipped(**more: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for part, text in SERIES.items():
            archive.writestr(f"some/folder/X_{part}.ts", text)
        for name, text in more.items():
            archive.writestr(name, text)
    return content.getvalue()


def inside(server: Server, part: str, sha256: str | None = "", others: tuple[str, ...] = ()) -> Source:
    """A source in an archive; the empty checksum is the right one."""
    digest = hashlib.sha256(SERIES[part]).hexdigest() if sha256 == "" else sha256
    return Source(f"uea/X/X_{part}.ts", f"{address(server)}/X.zip#X_{part}.ts", digest, "", "", others)


def address(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_port}"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "uea" / "X").iterdir())


def test_files_of_an_archive_are_extracted_and_the_archive_fetched_once(server: Server, tmp_path: Path) -> None:
    server.files["/X.zip"] = zipped()
    assert fetch(inside(server, "TRAIN"), tmp_path) == "fetched and verified"
    assert fetch(inside(server, "TEST", None), tmp_path).startswith("fetched, NOT verified")
    for part, text in SERIES.items():
        assert (tmp_path / "uea" / "X" / f"X_{part}.ts").read_bytes() == text
    assert server.paths == ["/X.zip"]
    assert names(tmp_path) == ["X.zip", "X_TEST.ts", "X_TRAIN.ts"]


def test_an_interrupted_archive_is_continued(server: Server, tmp_path: Path) -> None:
    server.files["/X.zip"], server.breaks = zipped(large=random.Random(1).randbytes(300_000)), 99
    with pytest.raises(TsbenchError, match="Run the command again to continue"):
        fetch(inside(server, "TRAIN"), tmp_path)
    have = (tmp_path / "uea" / "X" / "X.zip.part").stat().st_size
    assert 0 < have < 300_000
    assert names(tmp_path) == ["X.zip.part"], "half an archive never gets the name of a whole one"
    server.breaks = 0
    assert fetch(inside(server, "TRAIN"), tmp_path) == "fetched and verified"
    assert server.asked[-1] == f"bytes={have}-"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>no such file</html>", "X.zip is no sound zip archive"),
        (zipped()[:-30], "X.zip is no sound zip archive"),
        (zipped().replace(zipped()[60:90], bytes(30), 1), "X.zip is no sound zip archive"),
        (b"", "X.zip is no sound zip archive"),
    ],
)
def test_a_broken_archive_is_discarded(server: Server, tmp_path: Path, content: bytes, message: str) -> None:
    server.files["/X.zip"] = content
    with pytest.raises(TsbenchError, match=message) as error:
        fetch(inside(server, "TRAIN"), tmp_path)
    assert "put the file at" in str(error.value)
    assert names(tmp_path) == []
    server.files["/X.zip"] = zipped()
    assert fetch(inside(server, "TRAIN"), tmp_path) == "fetched and verified"


def test_an_archive_without_the_file_and_one_with_another_content(server: Server, tmp_path: Path) -> None:
    server.files["/X.zip"] = zipped()
    with pytest.raises(TsbenchError, match=r"X\.zip has no file Y_TRAIN\.ts"):
        fetch(replace(inside(server, "TRAIN"), url=f"{address(server)}/X.zip#Y_TRAIN.ts"), tmp_path)
    assert names(tmp_path) == []
    with pytest.raises(TsbenchError, match=r"X_TRAIN\.ts of X\.zip has sha256 [0-9a-f]{64}, not 0{64}"):
        fetch(inside(server, "TRAIN", "0" * 64), tmp_path)
    assert names(tmp_path) == []


def test_a_full_disk_leaves_nothing_half_written(server: Server, tmp_path: Path) -> None:
    server.files["/X.zip"] = zipped()
    folder = tmp_path / "uea" / "X"
    folder.mkdir(parents=True)
    (folder / "X_TRAIN.ts.part").symlink_to("/dev/full")  # what is written there meets a full disk
    with pytest.raises(TsbenchError, match=r"X_TRAIN\.ts cannot be extracted from X\.zip .*No space left.* --data"):
        fetch(inside(server, "TRAIN"), tmp_path)
    assert names(tmp_path) == []
    assert fetch(inside(server, "TRAIN"), tmp_path) == "fetched and verified"


def test_the_next_address_is_tried_where_one_fails(server: Server, tmp_path: Path) -> None:
    server.files |= {"/X.zip": zipped(), "/X_TRAIN.ts": b"another release"}
    server.absent = {"/gone.ts"}
    test, train = inside(server, "TEST"), inside(server, "TRAIN")
    missing = replace(test, url=f"{address(server)}/gone.ts", others=(test.url,))
    assert fetch(missing, tmp_path) == "fetched and verified"
    wrong = replace(train, url=f"{address(server)}/X_TRAIN.ts", others=(train.url,))
    assert fetch(wrong, tmp_path) == "fetched and verified"
    assert server.paths == ["/gone.ts", "/X.zip", "/X_TRAIN.ts"]
    assert names(tmp_path) == ["X.zip", "X_TEST.ts", "X_TRAIN.ts"]


def test_all_addresses_that_failed_are_told(server: Server, tmp_path: Path) -> None:
    server.absent = {"/X_TRAIN.ts", "/X.zip"}
    source = replace(
        inside(server, "TRAIN"), url=f"{address(server)}/X_TRAIN.ts", others=(inside(server, "TRAIN").url,)
    )
    with pytest.raises(TsbenchError, match=r"404.*X_TRAIN\.ts.*404.*X\.zip.*put the file at .*uea/X/X_TRAIN\.ts"):
        fetch(source, tmp_path)


def test_a_mirror_serves_the_files_of_archives_too(server: Server, tmp_path: Path) -> None:
    server.files["/copy/X_TRAIN.ts"] = SERIES["TRAIN"]
    assert fetch(inside(server, "TRAIN"), tmp_path, f"{address(server)}/copy/") == "fetched and verified"
    assert server.paths == ["/copy/X_TRAIN.ts"]
