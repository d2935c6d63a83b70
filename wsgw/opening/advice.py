"""Plain text for the admin, in the response to a request that is no upgrade or that a proxy has changed."""

from __future__ import annotations

_NGINX = """\
nginx, in the location of this path:

    proxy_http_version 1.1;
    proxy_set_header Host $host;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection "upgrade";
"""
_OTHERS = """\
Apache 2.4.47 or newer, with this path and the address of this port:

    ProxyPass "/ws-xmpp" "http://127.0.0.1:5288/ws-xmpp" upgrade=websocket

haproxy forwards upgrades in mode http, unless a rule deletes the headers Upgrade or Connection.
"""

#: For a plain GET of the WebSocket's path.
WELCOME = f"""\
This is the address of a WebSocket for XMPP (RFC 7395), served by wsgw.

XMPP clients connect to it: in the client, write wss:// instead of https:// (ws:// instead of http://).
The subprotocol is xmpp.

This request does not ask for a WebSocket. If an XMPP client sent it, a proxy between the client and wsgw has
removed the header Upgrade.

{_NGINX}
{_OTHERS}"""

#: For an upgrade request that lost its headers, probably in a proxy.
UPGRADE_LOST = f"""\
A WebSocket needs HTTP/1.1 and the headers "Upgrade: websocket" and "Connection: Upgrade" from the client to
wsgw. By default proxies remove the headers, and some speak HTTP/1.0.

{_NGINX}
{_OTHERS}"""

#: For an upgrade request that does not offer the subprotocol xmpp.
SUBPROTOCOL_LOST = """\
The client must offer the subprotocol xmpp in the header Sec-WebSocket-Protocol, and proxies must forward that
header unchanged. Extensions such as permessage-deflate have another header, Sec-WebSocket-Extensions.
nginx forwards both by default: remove every proxy_set_header for them.
"""

#: For a proxy that speaks HTTP/2 to wsgw.
HTTP2 = f"""\
This port speaks HTTP/1.1 and received HTTP/2. A proxy may speak HTTP/2 to clients but must speak HTTP/1.1 to
this port: haproxy without "proto h2" in the server's line, Envoy with http_protocol_options instead of
http2_protocol_options in the cluster, Caddy without "h2c" in the upstream's address.

{_NGINX}"""
