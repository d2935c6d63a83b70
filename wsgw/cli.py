"""The commands: ``python -m wsgw`` serves; the others help an admin to set it up."""

from __future__ import annotations

import argparse
import os
import resource
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from wsgw import __version__
from wsgw.config import describe, from_arguments, options_table
from wsgw.config.command_line import COMMAND_LINE_PATH, DemoPages
from wsgw.config.describe import in_url
from wsgw.config.gateway_options import LOG_FORMATS, LOG_LEVELS
from wsgw.config.source import Source
from wsgw.errors import ConfigError, ConfigProblem
from wsgw.ops.logs import log_directly, start_logging

if TYPE_CHECKING:
    from wsgw.demo.certificate import SelfSigned

#: The exit status if the configuration is invalid.
EXIT_CONFIG = 2
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
#: Seconds for the demo's proof: two logins and a message, on a busy machine.
DEMO_PROOF_TIMEOUT = 30.0
DEMO_READY = """\
Open {page} in two tabs of a browser, log in as alice in one and as bob in the other.

wsgw demo: the gateway and an embedded XMPP server. NOT FOR PRODUCTION: the passwords are known, and
accounts and rosters live in memory.

  WebSocket  {url}
{rest}

Ready: both accounts have logged in through the gateway and one message has arrived. Ctrl-C stops it.
"""
DEMO_TLS = """\
The certificate was made for this start, so the browser warns of it. Compare its SHA-256 fingerprint:
  {fingerprint}"""
#: Seconds in which the demo ends its sessions: a user who stops it expects it to stop at once.
DEMO_DRAIN_TIMEOUT = 1.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command in ``argv`` (None: ``sys.argv``); returns the exit status."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        status = int(arguments.run(arguments))
        sys.stdout.flush()
        return status
    except ConfigError as error:
        print(error, file=sys.stderr)
        return EXIT_CONFIG
    except BrokenPipeError:  # `check | head`: the reader has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m wsgw", description="XMPP-over-WebSocket gateway; without a command it serves."
    )
    parser.add_argument("--version", action="version", version=f"wsgw {__version__}")
    _add_settings(parser)
    parser.set_defaults(run=_serve)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    check = commands.add_parser("check", help="print the settings, or every error of the configuration")
    _add_settings(check, suppress=True)
    check.add_argument(
        "config", metavar="FILE", nargs="?", default=argparse.SUPPRESS, help="the same as --config FILE"
    )
    check.set_defaults(run=_check)
    options = commands.add_parser("options", help="print the table of options")
    options.set_defaults(run=_options)
    _add_host_meta(commands.add_parser("host-meta", help="write the pages by which clients find a WebSocket"))
    _add_doctor(commands.add_parser("doctor", help="find out why clients cannot log in, and what to do"))
    _add_demo(commands.add_parser("demo", help="gateway, embedded XMPP server and console, for a first try"))
    return parser


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=5288, help="port of the page (default: %(default)s)")
    parser.add_argument(
        "--listen",
        metavar="IP[:PORT]",
        default="127.0.0.1",
        help="address of the page, with https:// unless it is on loopback (default: %(default)s)",
    )
    _add_log(parser, suppress=True)
    parser.set_defaults(run=_demo)


def _add_host_meta(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("domain", metavar="DOMAIN", help="one of the hosts of the configuration")
    parser.add_argument("--config", metavar="FILE", default=argparse.SUPPRESS, help="configuration file")
    parser.add_argument("--output", metavar="DIR", default=".", help="folder of the files (default: here)")
    parser.set_defaults(run=_host_meta)


def _add_doctor(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("asked", metavar="DOMAIN", nargs="?", help="an XMPP domain (default: hosts of the configuration)")
    add("--config", metavar="FILE", default=argparse.SUPPRESS, help="configuration file")
    add("--account", metavar="JID", help="log in too; the password is asked for, or in WSGW_PASSWORD")
    add("--url", metavar="URL", help="where clients connect, wss://HOST/PATH (default: as host-meta says)")
    add("--origin", metavar="URL", help="origin of the web client (default: https://DOMAIN)")
    add("--resolver", metavar="IP[:PORT]", help="DNS server to ask (default: those of the system)")
    add("--cafile", metavar="FILE", help="PEM file of authorities to trust in addition to the system's")
    add(
        "--idle",
        metavar="SECONDS",
        type=float,
        default=65.0,
        help="how long a connection stays quiet, to find an idle cut (default: 65)",
    )
    add("--quick", action="store_true", help="leave out the checks that wait, for about a minute")
    add("--json", action="store_true", help="print a list of objects instead of lines")
    parser.set_defaults(run=_doctor)


def _add_settings(parser: argparse.ArgumentParser, *, suppress: bool = False) -> None:
    """Add the options that name the settings.

    ``suppress`` keeps a subcommand from resetting the options that are written before it.
    """
    missing: object = argparse.SUPPRESS if suppress else None
    add = parser.add_argument
    add("--config", metavar="FILE", default=missing, help="configuration file: Erlang terms or YAML")
    add("--listen", metavar="[IP:]PORT", default=missing, help="serve on this address, without a file")
    add(
        "--domain",
        metavar="NAME",
        action="append",
        default=missing,
        help="with --listen: a domain to serve; may be repeated",
    )
    add(
        "--upstream",
        metavar="URI",
        action="append",
        default=missing,
        help="with --listen: the XMPP server, tcp://HOST:PORT for example; may be repeated",
    )
    add("--user", metavar="NAME", default=missing, help="account of the workers, if started as root")
    parser.add_argument(
        "--offline",
        action="store_true",
        default=argparse.SUPPRESS if suppress else False,
        help="do not check whether the XMPP servers answer; with the command check, open no sockets",
    )
    _add_log(parser, suppress=suppress)


def _add_log(parser: argparse.ArgumentParser, *, suppress: bool) -> None:
    default = argparse.SUPPRESS if suppress else None
    parser.add_argument("--log-level", choices=LOG_LEVELS, default=default, help="default: info")
    parser.add_argument("--log-format", choices=LOG_FORMATS, default=default, help="default: plain")


def _source(arguments: argparse.Namespace) -> Source:
    overrides = {name: getattr(arguments, name) for name in ("log_level", "log_format", "user")}
    return Source(
        file=arguments.config,
        listen=arguments.listen,
        domains=arguments.domain or (),
        upstreams=arguments.upstream or (),
        overrides={name: value for name, value in overrides.items() if value is not None},
    )


def _serve(arguments: argparse.Namespace) -> int:
    for number in (signal.SIGHUP, signal.SIGUSR2):  # there is no configuration or code yet to be replaced
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)  # until the parent catches them
    from wsgw.ops.metrics_files import MetricsFiles

    metrics = MetricsFiles()  # it must exist before prometheus-client is imported
    try:
        from wsgw.processes.parent import run

        log_directly("info", arguments.log_format or "plain")
        return run(_source(arguments), metrics, offline=arguments.offline)
    finally:
        metrics.remove()


def _check(arguments: argparse.Namespace) -> int:
    from wsgw.gateway import native_functions
    from wsgw.processes.settings import Settings

    settings = Settings.read(_source(arguments))
    config = settings.config
    print(describe(config))
    print(f"reads frames and stanzas with {native_functions()}", flush=True)
    _warn(config.warnings)
    if not arguments.offline:
        _warn(settings.obstacles())
    return 0


def _warn(warnings: Iterable[object]) -> None:
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr, flush=True)


def _options(_arguments: argparse.Namespace) -> int:
    print(options_table())
    return 0


def _host_meta(arguments: argparse.Namespace) -> int:
    from wsgw.ops.host_meta_files import write_host_meta

    config = Source(file=arguments.config).read()
    print(write_host_meta(config, arguments.domain, Path(arguments.output)))
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    from wsgw.doctor import Arguments, doctor

    signal.signal(signal.SIGINT, signal.SIG_DFL)  # all findings so far are printed: there is nothing to end
    open_files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # no warning about the limit of this process
    return doctor(
        Arguments(
            _source(arguments),
            domain=arguments.asked,
            url=arguments.url,
            origin=arguments.origin,
            resolver=arguments.resolver,
            cafile=arguments.cafile,
            account=arguments.account,
            idle=arguments.idle,
            quick=arguments.quick,
            json=arguments.json,
            open_files=open_files,
        )
    )


def _demo(arguments: argparse.Namespace) -> int:
    from wsgw.probe import ProbeFailed

    writer = start_logging(arguments.log_level or "warning", arguments.log_format or "plain")
    try:
        _serve_demo(*_demo_place(arguments.listen, arguments.port))
    except ProbeFailed as error:
        print(f"the demo failed: {error}", file=sys.stderr)
        return 1
    finally:
        writer.stop()
    return 0


def _demo_place(listen: str, port: int) -> tuple[str, int]:
    """The address and the port of ``IP``, ``IP:PORT`` or ``[IP]:PORT``. Raises ConfigError."""
    head, _, tail = listen.rpartition(":")
    for ip, number in ((listen, str(port)), (head, tail)):
        with suppress(ValueError):
            return str(ip_address(ip.removeprefix("[").removesuffix("]"))), int(number)
    raise ConfigError(
        [ConfigProblem("--listen", 0, f"{listen!r} is not IP[:PORT], an IPv6 address in brackets")]
    )


def _serve_demo(ip: str, port: int) -> None:
    from wsgw.demo import DEMO_ACCOUNTS, DemoServer
    from wsgw.demo.certificate import names_of, self_signed
    from wsgw.gateway import Gateway
    from wsgw.probe import prove

    names = names_of(ip)
    needs_tls = not ip_address(ip).is_loopback
    url = f"{'wss' if needs_tls else 'ws'}://{in_url(names[0])}:{port}/{COMMAND_LINE_PATH}"
    alice, bob = DEMO_ACCOUNTS.items()
    with DemoServer() as server:
        server.acquaint(*DEMO_ACCOUNTS)
        accounts = {f"{name}@{server.domain}": password for name, password in DEMO_ACCOUNTS.items()}
        with self_signed(names) if needs_tls else nullcontext() as certificate:
            pages = DemoPages(url, str(certificate.pem) if certificate else "")
            listen, upstream = f"{in_url(ip)}:{port}", f"tcp://127.0.0.1:{server.port}"
            config = from_arguments(listen, [server.domain], [upstream], pages)
            config = replace(config, drain_timeout=DEMO_DRAIN_TIMEOUT, demo_accounts=accounts)
            gateway = Gateway.alone(config)

        def prove_it() -> None:
            authority = certificate.certificate if certificate else ""
            prove(url, server.domain, alice, bob, DEMO_PROOF_TIMEOUT, authority)
            print(_demo_ready(url, accounts, certificate), flush=True)

        gateway.serve_forever(prove_it)


def _demo_ready(url: str, accounts: Mapping[str, str], certificate: SelfSigned | None) -> str:
    """The text that the demo prints when it is ready; its first line has the address to open."""
    page = url.replace("ws", "http", 1).removesuffix(COMMAND_LINE_PATH)
    lines = [f"  account    {jid}   password {password}" for jid, password in accounts.items()]
    if certificate is not None:
        lines += ["", DEMO_TLS.format(fingerprint=certificate.fingerprint)]
    return DEMO_READY.format(page=page, url=url, rest="\n".join(lines))
