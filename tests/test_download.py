"""Downloads, from a real HTTP server on loopback that can be broken in several ways."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.conftest import Command
from tsbench.dataset import Source
from tsbench.download import fetch
from tsbench.errors import TsbenchError

CONTENT = b"date,a\n" + b"".join(b"2020-01-%02d,%d\n" % (1 + i % 28, i) for i in range(20_000))


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT; `server.breaks` makes the next requests stop half-way, `server.ranges` allows continuing."""

    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.server.ranges else 0
        body = self.server.content[start:]
        self.send_response(self.server.status or (206 if start else 200))
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
