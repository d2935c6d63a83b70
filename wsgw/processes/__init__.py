"""The processes of a gateway: a parent that never serves, and workers that do.

    parent       the parent's loop: starts the workers, obeys signals, stops
    signals      the signals, as bytes of a socket
    watch        the descriptors that the loop waits for
    crew         the workers of a parent: forked, replaced when they die
    reload       new settings for all workers, or for none
    succession   which parent serves: the one before, this one, or the one after it
    upgrade      starts a parent with the code on the disk, which takes over
    inherited    what a parent takes over: sockets, and the counts of the parent before it
    systemd      notifications to systemd, and sockets from it
    worker       one process's gateway, and what the parent tells it
    control      the private channel between the two
    settings     what a gateway is run with, read by the parent only
    privileges   the account the workers run under

The parent runs no loop of gevent and no thread: a worker is forked from it at any time, with the code
that the parent loaded. It opens the listening sockets and reads all files; workers get both from it.
"""
