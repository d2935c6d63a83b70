"""Listening sockets, TLS contexts, certificates and DNS records.

    listen_sockets   opens the listening sockets, and keeps them at a reload
    port_holder      which process uses a port
    tls              TLS contexts
    tls_policy       versions and ciphers for browsers, certificates of clients
    key_pairs        the certificates for browsers: their keys and names
    memory_file      bytes under a file name, for OpenSSL
    findings         settings that work but are probably not intended
    certificate      the names, dates and issuer of a certificate
    srv              SRV records

Nothing here knows of sessions.
"""
