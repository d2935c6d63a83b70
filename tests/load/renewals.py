"""Three ways in which programs renew certificates, and a client that always looks at the one it gets."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections import deque
from pathlib import Path
from typing import NamedTuple, Protocol

from tests.deploy.test_certificates import hook
from tests.support.certificates import Certificate
from tests.support.gateway import Gateway
from tests.support.observe import worker_of


def der(certificate: Certificate) -> bytes:
    return ssl.PEM_cert_to_DER_cert(certificate.chain.read_text())


class Renewer(Protocol):
    """A program that renews the certificate for ``name``."""

    name: str

    @property
    def certfiles(self) -> list[Path]:
        """The files, or patterns, to name in the configuration."""

    def install(self, certificate: Certificate, key: Path | None = None) -> None:
        """Put ``certificate`` in place of the last one; by mistake with the ``key`` of another."""


class Certbot:
    """Certbot: new files in ``archive``, then the links in ``live``, each removed and made again."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.live, self._archive = folder / "live" / name, folder / "archive" / name
        self.live.mkdir(parents=True)
        self._archive.mkdir(parents=True)
        self._version = 0

    @property
    def certfiles(self) -> list[Path]:
        return [self.live / "*.pem"]

    def install(self, certificate: Certificate, key: Path | None = None) -> None:
        self._version += 1
        leaf, issuer = certificate.chain.read_bytes(), certificate.ca.read_bytes()
        for kind, content in (
            ("cert", leaf),
            ("privkey", (key or certificate.key).read_bytes()),
            ("chain", issuer),
            ("fullchain", leaf + issuer),
        ):
            (self._archive / f"{kind}{self._version}.pem").write_bytes(content)
        for kind in ("cert", "privkey", "chain", "fullchain"):
            link = self.live / f"{kind}.pem"
            link.unlink(missing_ok=True)
            link.symlink_to(self._archive / f"{kind}{self._version}.pem")


class CertbotWithHook(Certbot):
    """Certbot with the hook of docs/certificates.md, which installs one file by rename."""

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__(folder, name)
        self._installed = folder / "installed"
        self._installed.mkdir()
        self._hook = folder / "hook"
        self._hook.write_text(hook())
        self._hook.chmod(0o755)

    @property
    def certfiles(self) -> list[Path]:
        return [self._installed / "*.pem"]

    def install(self, certificate: Certificate, key: Path | None = None) -> None:
        super().install(certificate, key)
        environment = {
            "PATH": os.environ["PATH"],
            "RENEWED_LINEAGE": str(self.live),
            "WSGW_CERTIFICATES": str(self._installed),
            "WSGW_GROUP": str(os.getgid()),
        }
        subprocess.run([self._hook], env=environment, check=True)


class Kubernetes:
    """The kubelet: a new folder for each version, to which ``..data`` is pointed by rename."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self._folder = folder
        folder.mkdir(parents=True)
        self._version = 0

    @property
    def certfiles(self) -> list[Path]:
        return [self._folder / "tls.crt", self._folder / "tls.key"]

    def install(self, certificate: Certificate, key: Path | None = None) -> None:
        previous = self._folder / f"..2026_{self._version}"
        self._version += 1
        new = self._folder / f"..2026_{self._version}"
        new.mkdir()
        (new / "tls.crt").write_bytes(certificate.chain.read_bytes() + certificate.ca.read_bytes())
        (new / "tls.key").write_bytes((key or certificate.key).read_bytes())
        changed = self._folder / "..data_tmp"
        changed.symlink_to(new.name)
        changed.replace(self._folder / "..data")
        if previous.exists():
            shutil.rmtree(previous)
            return
        for path in self.certfiles:
            path.symlink_to(Path("..data") / path.name)


class Look(NamedTuple):
    """One handshake; times by the monotonic clock."""

    began: float
    #: The process that has answered.
    worker: int | None
    name: str
    certificate: bytes


class Watcher:
    """``with Watcher(...)``: handshakes under each name alternately, in a thread."""

    #: Connections that stay open, so that no worker has the fewest all the time.
    _KEPT = 5

    def __init__(self, gateway: Gateway, names: list[str], pause: float) -> None:
        self.looks: list[Look] = []
        self.errors: list[str] = []
        self._gateway, self._names, self._pause = gateway, names, pause
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(30)

    def sequences(self) -> dict[tuple[int | None, str], list[bytes]]:
        """By worker and name: the certificates in the order of their appearance, each change once."""
        found: dict[tuple[int | None, str], list[bytes]] = {}
        for look in self.looks:
            seen = found.setdefault((look.worker, look.name), [])
            if not seen or seen[-1] != look.certificate:
                seen.append(look.certificate)
        return found

    def all_show(self, name: str, certificate: bytes) -> bool:
        """Whether the last look at each worker had this certificate for ``name``."""
        sequences = self.sequences()
        return all(sequences.get((pid, name), [b""])[-1] == certificate for pid in self._gateway.workers)

    def last(self, name: str, certificate: bytes) -> float:
        """When the last handshake began that had this certificate for ``name``."""
        return max(look.began for look in self.looks if (look.name, look.certificate) == (name, certificate))

    def _watch(self) -> None:
        kept: deque[ssl.SSLSocket] = deque()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        while not self._stopping.wait(self._pause):
            for name in self._names:
                try:
                    kept.append(self._look(context, name))
                except Exception as error:
                    self.errors.append(f"{name}: {error!r}")
            while len(kept) > self._KEPT:
                kept.popleft().close()
        for sock in kept:
            sock.close()

    def _look(self, context: ssl.SSLContext, name: str) -> ssl.SSLSocket:
        """A handshake shows too that certificate and key match: the key has signed it."""
        began, port = time.monotonic(), self._gateway.wss_port
        sock = socket.create_connection(("127.0.0.1", port), 10)
        tls = context.wrap_socket(sock, server_hostname=name)
        worker = worker_of(self._gateway, port, tls.getsockname()[1])
        self.looks.append(Look(began, worker, name, tls.getpeercert(binary_form=True) or b""))
        return tls
