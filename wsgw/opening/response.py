"""Writes the response to a refused request (RFC 9112 section 4)."""

from __future__ import annotations

from typing import Final

from wsgw.errors import HandshakeRefused

NOT_MODIFIED: Final = 304


def refusal_bytes(refusal: HandshakeRefused, method: str = "GET") -> bytes:
    """Return the HTTP/1.1 response for a refusal, which ends the connection; HEAD and 304 get no body."""
    lines = [f"HTTP/1.1 {refusal.status} {refusal.phrase}"]
    lines += [f"{name}: {value}" for name, value in refusal.headers]
    # RFC 9110 section 7.8: a response with Upgrade has it in Connection too.
    upgrade = any(name == "Upgrade" for name, _ in refusal.headers)
    if refusal.body:
        is_text = all(name != "Content-Type" for name, _ in refusal.headers)
        lines += ["Content-Type: text/plain; charset=utf-8"] * is_text
        if all(name != "X-Content-Type-Options" for name, _ in refusal.headers):
            lines.append("X-Content-Type-Options: nosniff")
    body = refusal.body.encode() if isinstance(refusal.body, str) else refusal.body
    if refusal.status != NOT_MODIFIED:  # its length would be that of the page (RFC 9110 section 8.6)
        lines.append(f"Content-Length: {len(body)}")
    lines += ["Connection: close" + ", Upgrade" * upgrade, "", ""]
    return "\r\n".join(lines).encode("latin-1") + (
        b"" if method == "HEAD" or refusal.status == NOT_MODIFIED else body
    )
