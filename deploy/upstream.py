"""Exits with 0 if the XMPP server of every listener answers; otherwise names the others and exits with 1.

It connects to the servers itself, with the code of its release, whichever release runs. This tells a new
release that cannot reach the server from a server that is down. Run it with the Python that has wsgw.
"""

from __future__ import annotations

import sys
from pathlib import Path

from wsgw.config import load
from wsgw.config.pem import PemFiles
from wsgw.errors import ConfigError
from wsgw.telemetry.tally import Tally
from wsgw.upstream import Upstream


def main() -> int:
    faults = []
    try:
        config = load(Path(sys.argv[1]))
        for listener in config.listeners:
            tally = Tally()
            Upstream(listener, PemFiles(), tally).probe(config.hosts[0])
            if not any(attempt.ok for attempt in tally.attempts.values()):
                faults += [attempt.error for attempt in tally.attempts.values()]
    except ConfigError as error:
        faults = [str(error)]
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
