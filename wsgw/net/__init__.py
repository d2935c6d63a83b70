"""What the gateway asks of the operating system and the network, without knowing of sessions.

listen_sockets   the sockets that are listened on: opened, kept, taken over
port_holder      which process holds a port
tls              TLS contexts
certificate      the names, dates and issuer of a certificate
srv              SRV records
"""
