"""Writes the response to a refused request (RFC 9112 section 4)."""

from __future__ import annotations

from wsgw.errors import HandshakeRefused


def refusal_bytes(refusal: HandshakeRefused, method: str = "GET") -> bytes:
    """Return the HTTP/1.1 response for a refusal, which ends the connection; without a body for HEAD."""
    lines = [f"HTTP/1.1 {refusal.status} {refusal.phrase}"]
    lines += [f"{name}: {value}" for name, value in refusal.headers]
    # RFC 9110 section 7.8: a response with Upgrade has it in Connection too.
    upgrade = any(name == "Upgrade" for name, _ in refusal.headers)
    if refusal.body:
        is_text = all(name != "Content-Type" for name, _ in refusal.headers)
        lines += ["Content-Type: text/plain; charset=utf-8"] * is_text
        lines.append("X-Content-Type-Options: nosniff")
    body = refusal.body.encode()
    lines += [f"Content-Length: {len(body)}", "Connection: close" + ", Upgrade" * upgrade, "", ""]
    return "\r\n".join(lines).encode("latin-1") + (b"" if method == "HEAD" else body)
