"""The native functions: an optional extension in C, for what is wholly common. wsgw runs without it too.

    sources    the hash of the C sources, which the built extension carries
    build      builds the extension, where a C compiler and Python's headers are installed
    choice     decides whether this process uses the extension, and gives the reason if not
    functions  the functions of the extension, as Python sees them
    pure       functions on frames in Python

``core.c`` is the module ``_core``, with its arguments in ``arguments.c``. ``frame.c`` has frames,
``stanza.c`` and ``characters.h`` common stanzas, ``chunks.c`` whole chunks of a connection. One build serves
every Python from 3.10 on (the limited API).
"""
