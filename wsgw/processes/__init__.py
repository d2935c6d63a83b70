"""The processes of a gateway: a parent that manages, and workers that serve sessions.

    parent       the parent's loop: starts the workers, acts on signals, stops
    signals      the signals, as bytes of a socket
    watch        the descriptors that the parent's loop waits for
    crew         the workers of a parent: forks them, replaces those that die
    reload       new settings for all workers, or for none
    renewal      uses renewed certificates without a reload
    succession   which parent serves: the previous one, this one, or the next one
    upgrade      starts the next parent, with the code on the disk
    inherited    what a parent takes over: sockets, and the tables of connections of previous parents
    systemd      notifications to systemd, and sockets from it
    worker       the gateway of one worker, and the parent's commands to it
    control      the private channel between a parent and a worker, or between two parents
    settings     the configuration and its files, which only the parent reads
    privileges   the account of the workers

The parent runs no gevent loop and no thread, so that it can fork a worker at any time; the worker has the
code that the parent loaded. The parent opens the listening sockets and reads all files, and gives both to
the workers.
"""
