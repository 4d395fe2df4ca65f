"""A tracking server for a group: MLflow on PostgreSQL, artifacts in a folder or bucket. One command, Ctrl-C ends it.

Runs until interrupted. The schema is made or upgraded once, under a lock of the database, before the server starts.
"""

from __future__ import annotations

import argparse
import contextlib
import getpass
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import requests
import sqlalchemy
from sqlalchemy.exc import OperationalError

POSTGRES = "TSBENCH_POSTGRES"  # environment variable: URL of the database
UPGRADE_LOCK = 7_365_221  # any number, the same for all that upgrade
PATIENCE = 180.0  # seconds for a database or server to come up
MOST_REFUSALS = 20  # half a second apart
EXAMPLES = """examples:
  python mlflow/serve.py --own-postgres ~/tracking/postgres --artifacts ~/tracking/artifacts
  python mlflow/serve.py --postgres postgresql://me@db/mlflow --artifacts /srv/artifacts --host 0.0.0.0
  python mlflow/serve.py --postgres postgresql://me@db/mlflow --artifacts s3://bucket/tsbench
then, anywhere: tsbench run --suite quick --tracking http://HOST:5000"""


class Trouble(Exception):
    """Something the user can mend."""


class OwnPostgres:
    """A PostgreSQL cluster of our own in one folder, reached by a socket in it: no network, no password.

    PostgreSQL refuses to run as root, so root starts it as the user `postgres` (or `nobody`); only the user who made
    the cluster may connect.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.data, self.socket = self.folder / "data", self.folder / "socket"
        self.process: subprocess.Popen[bytes] | None = None
        if len(str(self.socket)) > 80:
            raise Trouble(f"--own-postgres {folder}: a socket's path may have 107 characters; choose a shorter folder")

    def url(self, database: str) -> str:
        """Address of one of its databases."""
        return f"postgresql+psycopg://postgres@/{database}?host={self.socket}"

    def start(self) -> str:
        """Make the cluster if there is none, start it unless it runs; returns the URL of the database `mlflow`."""
        for path in (self.folder, self.data, self.socket):
            path.mkdir(parents=True, exist_ok=True)
            if os.getuid() == 0:
                shutil.chown(path, _other_user())
        if not (self.data / "PG_VERSION").exists():
            self._as_other("initdb", "-D", self.data, "-U", "postgres", "--auth=peer", "--encoding=UTF8").wait()
            if not (self.data / "PG_VERSION").exists():
                raise Trouble(f"initdb made no cluster in {self.data}; {self.folder}/log says why")
            (self.data / "pg_hba.conf").write_text("local all postgres peer map=owner\n")
            (self.data / "pg_ident.conf").write_text(f"owner {getpass.getuser()} postgres\n")
        if not _answers(self.url("postgres")):
            place = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={self.socket}"]
            until, refused = time.monotonic() + PATIENCE, 0
            while not _answers(self.url("postgres")):
                if self.process is None or self.process.poll() is not None:
                    # It refuses while processes of one that was killed are still ending, so it gets some tries.
                    refused += self.process is not None
                    self.process = self._as_other("postgres", "-D", self.data, *place)
                if refused > MOST_REFUSALS or time.monotonic() > until:
                    raise Trouble(f"PostgreSQL does not start; {self.folder}/log says why")
                time.sleep(0.5)
        engine = sqlalchemy.create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            known = set(connection.execute(sqlalchemy.text("SELECT datname FROM pg_database")).scalars())
            if "mlflow" not in known:
                connection.execute(sqlalchemy.text("CREATE DATABASE mlflow"))
        engine.dispose()
        return self.url("mlflow")

    def stop(self) -> None:
        """Stop it if we started it: SIGINT lets it write all to its files and close its connections.

        Where the disk is too slow for that, SIGQUIT ends it at once; it then recovers from its log at the next start.
        """
        for kind in (signal.SIGINT, signal.SIGQUIT) if self.process else ():
            self.process.send_signal(kind)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(60)
                return

    def _as_other(self, program: str, *arguments: object) -> subprocess.Popen[bytes]:
        user = {"user": _other_user(), "group": _group(), "extra_groups": []} if os.getuid() == 0 else {}
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [_program(program), *map(str, arguments)],
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
                **user,
            )


def _program(name: str) -> str:
    """Where a program of PostgreSQL is; Debian keeps them off the path."""
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda p: int(p.parts[-3]))
    found = shutil.which(name) or (str(places[-1]) if places else None)
    if not found:
        raise Trouble(f"no program {name}: install PostgreSQL, or name a running one by --postgres URL")
    return found


def _other_user() -> str:
    known = {user.pw_name for user in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


def _group() -> int:
    return pwd.getpwnam(_other_user()).pw_gid


def _answers(url: str) -> bool:
    engine = sqlalchemy.create_engine(url)
    try:
        with engine.connect():
            return True
    except OperationalError:
        return False
    finally:
        engine.dispose()


def upgrade(url: str) -> None:
    """Make or upgrade MLflow's tables; of servers that start together, one does and the others wait."""
    from mlflow.db import upgrade as command
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    engine = sqlalchemy.create_engine(url)
    try:
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text(f"SELECT pg_advisory_lock({UPGRADE_LOCK})"))
            if sqlalchemy.inspect(engine).has_table("alembic_version"):
                command.callback(url)
            else:
                SqlAlchemyStore(url, "mlflow-artifacts:/")
    except OperationalError as error:
        raise Trouble(f"--postgres: {str(error.orig).splitlines()[0]}") from None
    finally:
        engine.dispose()


def start_server(url: str, artifacts: str, args: argparse.Namespace) -> subprocess.Popen[bytes]:
    """Start MLflow. The database's URL goes by the environment, where `ps` shows none."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", args.host, "--port", str(args.port)]
    command += ["--workers", str(args.workers), "--artifacts-destination", artifacts]
    command += ["--allowed-hosts", args.allowed_hosts] if args.allowed_hosts else []
    environment = {
        **os.environ,
        "MLFLOW_BACKEND_STORE_URI": url,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    environment.pop("MLFLOW_TRACKING_URI", None)
    return subprocess.Popen(command, env=environment, start_new_session=True)


def wait_until_healthy(server: subprocess.Popen[bytes], args: argparse.Namespace) -> None:
    """Return when the server answers.

    Raises:
        Trouble: it ended, or does not answer in time.
    """
    health = f"http://{'127.0.0.1' if args.host == '0.0.0.0' else args.host}:{args.port}/health"
    until = time.monotonic() + PATIENCE
    while not _healthy(health):
        if server.poll() is not None or time.monotonic() > until:
            raise Trouble(f"the server does not come up on {args.host}:{args.port} (above: why); try another --port")
        time.sleep(0.3)


def _healthy(address: str) -> bool:
    try:
        return requests.get(address, timeout=2).ok
    except requests.RequestException:
        return False


def _end(server: subprocess.Popen[bytes]) -> None:
    """End the server and the workers that it started, which would outlive it."""
    for kind, seconds in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
        try:
            os.killpg(server.pid, kind)
            server.wait(seconds)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def main(arguments: Sequence[str] | None = None) -> int:
    """Start what is needed, wait for Ctrl-C, stop it."""
    parser = argparse.ArgumentParser(
        description="MLflow tracking server on PostgreSQL with an artifact store.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    store = parser.add_mutually_exclusive_group()
    store.add_argument(
        "--postgres",
        metavar="URL",
        help="a running PostgreSQL: postgresql://user@host/database. Other users of this machine see arguments, so a "
        f"password belongs in ~/.pgpass, or the whole URL in the variable {POSTGRES}, which is read without this",
    )
    store.add_argument(
        "--own-postgres", type=Path, metavar="DIR", help="start PostgreSQL here, its files in DIR (made if absent)"
    )
    parser.add_argument("--artifacts", required=True, metavar="DIR", help="folder or URI, such as s3://bucket/folder")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to serve on (default: 127.0.0.1, this machine only)"
    )
    parser.add_argument("--port", type=int, default=5000, help="(default: 5000)")
    parser.add_argument("--workers", type=int, default=2, help="processes of the server (default: 2)")
    parser.add_argument(
        "--allowed-hosts", metavar="NAMES", help="host names that browsers may use for a public --host, with commas"
    )
    args = parser.parse_args(arguments)
    args.postgres = args.postgres or os.environ.get(POSTGRES)
    if not (args.postgres or args.own_postgres):
        parser.error(f"name a database with --postgres URL, the variable {POSTGRES} or --own-postgres DIR")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    database = OwnPostgres(args.own_postgres) if args.own_postgres else None
    server = None
    try:
        url = database.start() if database else str(args.postgres)
        # The driver is named, since SQLAlchemy's default differs between its versions.
        url = url.replace("postgresql://", "postgresql+psycopg://", 1)
        upgrade(url)
        artifacts = args.artifacts if "://" in args.artifacts else str(Path(args.artifacts).resolve())
        server = start_server(url, artifacts, args)
        wait_until_healthy(server, args)
        print(f"tracking server ready: http://{args.host}:{args.port}; Ctrl-C ends it", flush=True)
        code = server.wait()
        print(f"the server ended by itself (exit code {code}); start it again", file=sys.stderr)
        return 1
    except Trouble as trouble:
        print(f"serve: {trouble}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0
    finally:
        if server:
            _end(server)
        if database:
            database.stop()


if __name__ == "__main__":
    sys.exit(main())
