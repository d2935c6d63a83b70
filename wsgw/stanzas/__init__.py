"""XML as bytes: where an element begins and ends, whether it may pass, and what of it is left out.

    parser        the one place where XML parsers are made
    start_tag     reads the start tag of a message: the opening of a stream, or that of any element
    prefixes      which prefixes an element declares, and which it uses undeclared
    plain_text    long text that needs no parser
    fast_path     recognises the most common stanzas, which need no parser
    markup        where complete tags end
    namespaces    judges names by Namespaces in XML
    element       reads one small element: attributes, children, text
    cutter        cuts a server's bytes at stanza borders
    repair        removes from a server's stanza the elements that a browser could not read
    stanza_tag    the tag of a stanza whose content is taken out, and what is written in its place
    tag_counter   where an element ends whose content is not kept
    client        checks that a client's message is one element
    server        cuts a server's stream into stanzas
    worker_state  what all sessions of a worker share

The two directions are ``client`` and ``server``; all other modules serve one of them. A stanza passes as
the bytes that came, never as a tree.
"""
