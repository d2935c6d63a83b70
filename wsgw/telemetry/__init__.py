"""A worker's records of its sessions: numbers, log lines, traces. ``ops`` publishes them.

    peer          the client of a connection, as log lines name it
    tally         the counters of one process
    session_log   the log lines of a connection
    tracing       traces of single sessions, without content
    session_view  one session, as an admin with the token sees it

No content of a stanza and no SASL data is recorded.
"""
