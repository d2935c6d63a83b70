"""What to change in a proxy, by the fault and by the product: each line names the directive."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from wsgw.probe.websocket_client import Response

#: By product: the name with which its header ``Server`` begins. haproxy sends no such header.
Advice = Mapping[str, str]

FORWARD_UPGRADE: Final[Advice] = {
    "nginx": (
        "in the location of this path: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;"
        ' proxy_set_header Connection "upgrade";'
    ),
    "haproxy": "no http-request del-header of Upgrade or Connection, and mode http",
    "Caddy": "reverse_proxy forwards upgrades: remove header_up lines for Connection and Upgrade",
    "Apache": "ProxyPass {path} http://{backend}{path} upgrade=websocket",
}
FORWARD_PATH: Final[Advice] = {
    "nginx": "location {path} {{ proxy_pass http://{backend}; ... }}, without a path after the port",
    "haproxy": "use_backend ... if {{ path_beg {path} }}, without http-request set-path or replace-path",
    "Caddy": "reverse_proxy {path} {backend}, without handle_path or uri strip_prefix",
    "Apache": "ProxyPass {path} http://{backend}{path} upgrade=websocket",
}
FORWARD_SUBPROTOCOL: Final[Advice] = {
    "nginx": "remove proxy_set_header and proxy_hide_header for Sec-WebSocket-Protocol",
    "haproxy": "remove http-request and http-response rules for Sec-WebSocket-Protocol",
    "Caddy": "remove header_up and header_down for Sec-WebSocket-Protocol",
    "Apache": "remove RequestHeader and Header lines for Sec-WebSocket-Protocol",
}
BACKEND: Final[Advice] = {
    "nginx": "proxy_pass http://{backend};",
    "haproxy": "server wsgw1 {backend}, and let its check succeed",
    "Caddy": "reverse_proxy {path} {backend}",
    "Apache": "ProxyPass {path} http://{backend}{path} upgrade=websocket",
}
NO_BUFFERING: Final[Advice] = {
    "nginx": "proxy_http_version 1.1 with the headers Upgrade and Connection: a WebSocket is not buffered",
    "haproxy": "no option http-buffer-request, no http-response wait-for-body",
    "Caddy": "reverse_proxy without request_buffers and response_buffers",
    "Apache": "upgrade=websocket in ProxyPass, without mod_buffer or mod_deflate on this path",
}
STAY_OPEN: Final[Advice] = {
    "nginx": "proxy_read_timeout 2m; proxy_send_timeout 2m; in the location of this path",
    "haproxy": "timeout tunnel 2m in the backend",
    "Caddy": "no stream_timeout in reverse_proxy",
    "Apache": "ProxyTimeout 120, or timeout=120 in ProxyPass",
}
FORWARD_ADDRESS: Final[Advice] = {
    "nginx": "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;",
    "haproxy": "option forwardfor",
    "Caddy": "reverse_proxy sends X-Forwarded-For by itself: remove header_up -X-Forwarded-For",
    "Apache": "ProxyAddHeaders On",
}


def what_to_set(advice: Advice, response: Response | None, **values: str) -> str:
    """The directives for the product that sent ``response``; for all products if it does not name itself."""
    names = response.values("server") if response is not None else []
    product = next((one for one in advice if names and names[0].lower().startswith(one.lower())), None)
    shown = [product] if product is not None else sorted(advice, key=lambda one: one != "haproxy")
    return " | ".join(f"{one}: {advice[one].format(**values)}" for one in shown)
