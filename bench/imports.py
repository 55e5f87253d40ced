"""What candidates cost to import, to answer one request, to ask one. For docs/decisions/; not part of `make bench`.

    python bench/imports.py     with an interpreter that has all the candidates installed

Each line is a whole process unless it says otherwise: medians, the candidates measured in turns.
"""

from __future__ import annotations

import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

RUNS = 15
IMPORTS = {
    "nothing": "pass",
    "argparse": "import argparse",
    "click": "import click",
    "typer": "import typer",
    "rich (Console, Table)": "from rich.console import Console; from rich.table import Table",
    "http.client": "import http.client",
    "httpx": "import httpx",
    "asyncio": "import asyncio",
    "msgspec": "import msgspec",
    "websockets (sync client)": "import websockets.sync.client",
    "wsproto": "import wsproto",
    "starlette + uvicorn + msgspec": "import starlette.applications, starlette.routing, uvicorn, msgspec",
    "fastapi + uvicorn": "import fastapi, uvicorn",
    "litestar + uvicorn": "import litestar, uvicorn",
}
VERBS = "run ps ls rm start stop kill pause resume logs exec cp pull images kernels wait ping stats".split()
CLIS = {
    "argparse, 18 verbs": f"""
import argparse
parser = argparse.ArgumentParser("b")
verbs = parser.add_subparsers(dest="verb")
for name in {VERBS}:
    verb = verbs.add_parser(name); verb.add_argument("--flag"); verb.add_argument("name", nargs="?")
parser.parse_args(["ps"])""",
    "click, 18 verbs": f"""
import click
@click.group()
def main(): pass
for name in {VERBS}:
    @main.command(name)
    @click.option("--flag")
    @click.argument("name", required=False)
    def verb(flag, name): pass
main(["ps"], standalone_mode=False)""",
    "typer, 18 verbs": f"""
import typer
app = typer.Typer()
for name in {VERBS}:
    @app.command(name)
    def verb(name: str = "", flag: str = ""): pass
app(["ps"], standalone_mode=False)""",
}
GETS = {
    "raw socket": """
import socket, sys, json
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
s.sendall(b"GET /machines HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
data = b"".join(iter(lambda: s.recv(65536), b""))
assert len(json.loads(data.partition(b"\\r\\n\\r\\n")[2])) == 20""",
    "http.client": """
import http.client, socket, sys, json
c = http.client.HTTPConnection("x")
c.sock = socket.socket(socket.AF_UNIX); c.sock.connect(sys.argv[1])
c.request("GET", "/machines")
assert len(json.loads(c.getresponse().read())) == 20""",
    "httpx": """
import httpx, sys
with httpx.Client(transport=httpx.HTTPTransport(uds=sys.argv[1])) as c:
    assert len(c.get("http://x/machines").json()) == 20""",
}
SERVER = """
import sys, uvicorn
{application}
uvicorn.run(app, uds=sys.argv[1], log_level="critical", ws="{ws}", http="httptools", lifespan="off",
    **({{"ws_per_message_deflate": False}}))
"""
STRUCTS = """
import msgspec
class Machine(msgspec.Struct):
    id: str; name: str; state: str; cpus: int; memory_mib: int; created: str
machines = [Machine(f"id{i}", f"m{i}", "running", 1, 512, "2025-01-01T00:00:00Z") for i in range(20)]
"""
SERVERS = {
    "starlette + msgspec": STRUCTS + """
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
encoder = msgspec.json.Encoder()
async def listing(request): return Response(encoder.encode(machines), media_type="application/json")
async def echo(ws):
    await ws.accept()
    while (await ws.receive())["type"] == "websocket.receive": await ws.send_bytes(block)
block = bytes(65536)
app = Starlette(routes=[Route("/machines", listing), WebSocketRoute("/echo", echo)])""",
    "litestar": STRUCTS + """
from litestar import Litestar, get
@get("/machines")
async def listing() -> list[Machine]: return machines
app = Litestar([listing], openapi_config=None)""",
    "fastapi": """
from fastapi import FastAPI
from pydantic import BaseModel
class Machine(BaseModel):
    id: str; name: str; state: str; cpus: int; memory_mib: int; created: str
machines = [Machine(id=f"id{i}", name=f"m{i}", state="running", cpus=1, memory_mib=512,
    created="2025-01-01T00:00:00Z") for i in range(20)]
app = FastAPI()
@app.get("/machines")
async def listing() -> list[Machine]: return machines""",
}  # fmt: skip
ECHO = """
import sys, time, statistics, websockets.sync.client as client
with client.unix_connect(sys.argv[1], "ws://x/echo", compression=None, max_size=None) as ws:
    for size in (1, 65536):
        times = []
        for _ in range(300):
            begun = time.perf_counter(); ws.send(bytes(size)); ws.recv(); times.append(time.perf_counter() - begun)
        print(round(statistics.median(times) * 1e6), end=" ")
"""


class Server:
    """A candidate as a child process behind a Unix socket, for the time of a `with`."""

    def __init__(self, application: str, place: Path, ws: str = "none") -> None:
        self.code = SERVER.format(application=application, ws=ws)
        self.path = str(place / f"s{time.monotonic_ns()}")

    def __enter__(self) -> Server:
        begun = time.perf_counter()
        self.process = subprocess.Popen([sys.executable, "-c", self.code, self.path])
        while True:
            try:
                self.connection = socket.socket(socket.AF_UNIX)
                self.connection.connect(self.path)
                self.get()
                break
            except OSError:
                self.connection.close()
                time.sleep(0.001)
        self.ready_ms = (time.perf_counter() - begun) * 1000
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()
        self.process.terminate()
        self.process.wait()

    def get(self) -> float:
        """One request on the kept connection, in microseconds."""
        begun = time.perf_counter()
        self.connection.sendall(b"GET /machines HTTP/1.1\r\nHost: x\r\n\r\n")
        data = self.connection.recv(65536)
        while not data.endswith(b"}]"):
            more = self.connection.recv(65536)
            if not more:
                raise ConnectionResetError
            data += more
        return (time.perf_counter() - begun) * 1e6

    def rss_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024


def in_turns(title: str, codes: dict[str, str], *arguments: str) -> None:
    times: dict[str, list[float]] = {name: [] for name in codes}
    for turn in range(RUNS + 1):
        for name, code in codes.items():
            begun = time.perf_counter()
            subprocess.run([sys.executable, "-c", code, *arguments], check=True, stdout=subprocess.DEVNULL)
            if turn:
                times[name].append((time.perf_counter() - begun) * 1000)
    print(f"\n{title}, ms: median (least-most)")
    for name, taken in times.items():
        print(f"  {name:32} {statistics.median(taken):6.0f} ({min(taken):.0f}-{max(taken):.0f})")


def compare_servers(place: Path) -> None:
    print(
        "\nserver: process start to first answer, memory after 1000 requests, one request on a kept connection"
    )
    for name, application in SERVERS.items():
        starts = []
        for _ in range(RUNS // 3):
            with Server(application, place) as server:
                starts.append(server.ready_ms)
        with Server(application, place) as server:
            times = [server.get() for _ in range(1000)]
            memory = server.rss_mb()
        print(
            f"  {name:32} {statistics.median(starts):6.0f} ms {memory:6.0f} MB {statistics.median(times):6.0f} us"
        )


def compare_websockets(place: Path) -> None:
    print("\nWebSocket round trip with a 64 KiB answer, us: message of 1 byte, of 64 KiB")
    for ws in ("websockets", "websockets-sansio", "wsproto"):
        with Server(SERVERS["starlette + msgspec"], place, ws) as server:
            out = subprocess.run([sys.executable, "-c", ECHO, server.path], check=True, capture_output=True)
        print(f"  {ws:32} {out.stdout.decode()}")


def main() -> None:
    steps: list[Callable[[Path], None]] = [compare_servers, compare_websockets]
    with tempfile.TemporaryDirectory() as name:
        in_turns("import", IMPORTS)
        in_turns("command line, nothing asked of the daemon", CLIS)
        with Server(SERVERS["starlette + msgspec"], Path(name)) as server:
            in_turns("one GET on a Unix socket", GETS, server.path)
        for step in steps:
            step(Path(name))


if __name__ == "__main__":
    main()
