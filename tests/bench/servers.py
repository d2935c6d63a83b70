"""The row of real servers: their own WebSocket, and the gateway in front of their c2s port."""

from __future__ import annotations

from tests.bench.measure import Bench, Sample, run
from tests.bench.subjects import Wsgw
from tests.support.servers import Ejabberd, Prosody, Server

SESSIONS = 64
PASSWORD = "pw"  # as in load.c
#: Prosody needs some time until its garbage collector runs steadily.
WARM_UP = 3.0


def servers(bench: Bench) -> list[Sample]:
    """64 accounts, one 100-byte message in flight on each, to itself; the default number of workers."""
    samples = []
    for kind in (Prosody, Ejabberd):
        with bench.apart():
            samples += _server(bench, kind(bench.fresh(kind.name), bench.certificate))
    return samples


def _server(bench: Bench, server: Server) -> list[Sample]:
    bench.keep(server)
    server.start()
    for number in range(SESSIONS):
        server.register(f"user{number}", PASSWORD)
    wsgw = bench.keep(Wsgw(bench.fresh("wsgw"), bench.certificate, server.c2s_port, workers=None))
    ways = {
        "own WebSocket": (bench.load(server.native_ws, accounts=SESSIONS, resource="own"), ()),
        "wsgw and c2s": (bench.load(wsgw.ws, accounts=SESSIONS, resource="wsgw"), wsgw.pids),
    }
    for load, _ in ways.values():
        load.login(SESSIONS)
        load.run(WARM_UP)
    samples = []
    for number in range(bench.rounds):
        for name, (load, gateway) in ways.items():
            sample = run(
                *(server.name, name, number, (server.pid, *gateway), load, bench.seconds), gateway=gateway
            )
            samples.append(sample)
            bench.say(sample.line())
    return samples
