"""The edge: a connection from its accept to the 101; from then on the session is the supervisor's.

    accept       accepts connections, as many as are this worker's share
    entrance     what all connections of a listener are judged and served by
    arrival      one connection up to the 101: admission, PROXY header, TLS, request
    first_bytes  PROXY header and TLS handshake, the steps before the request
    upgrade      the request: pywsgi reads it, gevent-websocket writes the 101

Straight-line blocking code in a greenlet per connection, with a deadline on each step.
"""
