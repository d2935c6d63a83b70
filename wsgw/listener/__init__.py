"""Serves a connection from its accept to the 101; then the supervisor takes over the session.

    accept       accepts this worker's share of the new connections
    context      the settings and services that all connections of a listener share
    pages        the pages that a listener serves next to its WebSocket
    acme_challenge  the answers to a certificate authority (RFC 8555)
    console      the console, one of these pages
    connection   one connection up to the 101: admission, PROXY header, TLS, request
    first_bytes  the steps before the request: PROXY header and TLS handshake
    upgrade      the request: pywsgi reads it, gevent-websocket writes the 101

Each connection has a greenlet with blocking code, and each step has a deadline.
"""
