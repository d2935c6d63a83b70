"""The embedded XMPP server: something to stand behind the gateway in demonstrations and tests.

**Not for production.** It speaks ordinary client-to-server XMPP over TCP (RFC 6120, RFC 6121, XEP-0030,
XEP-0077, XEP-0198, XEP-0199) on a loopback port: no TLS, no federation, everything in memory, nothing
kept for those who are offline. It runs on gevent without monkey-patching, one greenlet per connection.

    bytes ──► connection ──► xml_reader ──► stream ──► host ──► requests · routing · presence · subscriptions
    bytes ◄── connection ◄── elements  ◄─── stream ◄── session ◄─┘

    server, connection, xml_reader        from a listening socket to elements
    stream, login, sasl, registration     the stream of one client, up to its session
    stream_management, acknowledgements   XEP-0198
    host, bindings, session               one domain, its sessions
    accounts, roster                      what is stored, in memory
    requests, roster_requests, routing, presence, subscriptions
                                          what the server does with a stanza
    elements, stanzas                     building elements and stanzas
"""

from wsgw.demo.server import DEMO_ACCOUNTS, DemoServer

__all__ = ["DEMO_ACCOUNTS", "DemoServer"]
