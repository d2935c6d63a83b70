"""An embedded XMPP server, behind the gateway in demonstrations and tests.

**Not for production.** It speaks ordinary client-to-server XMPP over TCP (RFC 6120, RFC 6121, XEP-0030,
XEP-0077, XEP-0198, XEP-0199) on a loopback port. It has no TLS and no federation, keeps everything in
memory, and stores no messages for offline accounts. It runs on gevent without monkey-patching, with one
greenlet for each connection.

    bytes ──► connection ──► xml_reader ──► stream ──► host ──► requests · routing · presence · subscriptions
    bytes ◄── connection ◄── elements  ◄─── stream ◄── session ◄─┘

    server, connection, xml_reader        from a listening socket to elements
    stream, login, sasl, registration     the stream of one client, up to its session
    stream_management, acknowledgements   XEP-0198
    host, bindings, session               one domain and its sessions
    accounts, roster                      the stored data, in memory
    requests, roster_requests, routing, presence, subscriptions
                                          the handling of a stanza
    elements, stanzas                     build elements and stanzas
    certificate                           the certificate of a demo that another machine opens
"""

from wsgw.demo.server import DEMO_ACCOUNTS, DemoServer

__all__ = ["DEMO_ACCOUNTS", "DemoServer"]
