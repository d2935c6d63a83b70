"""``python -m wsgw.demo [--port N]``: the embedded server alone, without the gateway in front of it."""

from __future__ import annotations

import argparse
import signal

from gevent import signal_handler
from gevent.event import Event

from wsgw.demo.server import DEMO_ACCOUNTS, DemoServer


def main() -> None:
    """Serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m wsgw.demo", description="Not for production.")
    parser.add_argument("--port", type=int, default=0, help="TCP port on 127.0.0.1 (default: any free one)")
    parser.add_argument("--domain", default="localhost")
    arguments = parser.parse_args()
    stopped = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal_handler(number, stopped.set)
    with DemoServer(arguments.domain, port=arguments.port) as server:
        print("Demo XMPP server, NOT FOR PRODUCTION: no TLS, everything in memory.", flush=True)
        for name, password in DEMO_ACCOUNTS.items():
            print(f"account {name}@{server.domain} password {password}", flush=True)
        print(f"listening on 127.0.0.1:{server.port}", flush=True)
        stopped.wait()


if __name__ == "__main__":
    main()
