"""Finds out what keeps clients from logging in through a gateway, and says what to do: ``wsgw doctor``.

    command        what was asked on the command line; runs the checks; the exit status
    inquiry        what was asked, as the checks get it; a check
    finding        one result of a check
    report         findings as lines for people, or as JSON

    configuration  the errors and warnings of the configuration
    certificates   the certificates that it names
    access         whether the gateway's account can read its files
    ports          the ports of its listeners, and the gateway that uses them now
    limits         open files, local ports and other limits of the machine
    clock          whether the clock is right
    upstreams      each XMPP server, and its features
    domains        the addresses and SRV records of a domain
    host_meta      the page by which clients find the WebSocket
    websocket      the WebSocket, directly and by its public address, and a stream in it
    client_address whether wsgw gets the client's address from the proxy
    idle           whether a proxy cuts a quiet connection

    account        a login with an account, messages, and a resumed session

    names          asks DNS
    reach          connects to hosts within a bounded time
    https          asks for a page as a browser does
    tls            judges the certificate of a server, as clients see it
    upgrade        opens a WebSocket, or says why it is refused
    stream         opens a stream in it
    proxies        the directives of proxies, by the fault

A check is a function that yields findings as they come. It has a bounded time, and asks no other hosts than
those of the inquiry. ``docs/doctor.md`` describes the checks for admins.
"""

from wsgw.doctor.command import Arguments, doctor

__all__ = ["Arguments", "doctor"]
