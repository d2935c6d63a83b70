"""The bytes of a connection before its first frame: how they are read and checked.

    proxy_protocol   reads and writes the PROXY header of a balancer
    head_reader      reads the lines of a request head, within a size limit
    head_grammar     the strict grammar of a request head (RFC 9112)
    request          checks an upgrade request: the 101 or the refusal (RFC 6455 section 4.2)
    pages            which request is one for a page of the listener
    host_meta        the page by which clients find the WebSocket (XEP-0156)
    response         writes the response to a refused request
    client_address   finds the client's address behind trusted proxies
    request_ids      finds the names that a trusted proxy has given the request
    advice           the texts in the responses to refused requests

Bytes come in as arguments; no module here reads a socket.
"""
