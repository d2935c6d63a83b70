"""How a connection opens: what the listener reads before the first frame, and how it judges that.

    proxy_protocol   the PROXY header of a balancer
    head_reader      the lines of a request head, within a size limit
    head_grammar     the strict grammar of such a head (RFC 9112)
    request          judges an upgrade request: the 101 or the refusal (RFC 6455 section 4.2)
    refusal          the answer to a refused request, as bytes
    client_address   which address the client has, behind trusted proxies
    advice           the text that a refused request is answered with

Bytes come in as arguments; no module here reads a socket.
"""
