"""XML as bytes: finds where an element begins and ends, refuses or repairs it, and forwards it unchanged.

    parser        makes every XML parser
    start_tag     reads the start tag of a message: the opening of a stream, or that of any element
    prefixes      finds the prefixes that an element declares, and those that it uses undeclared
    plain_text    finds long text that needs no parser
    fast_path     recognises the most common stanzas, which need no parser
    markup        finds where complete tags end
    namespaces    checks names by Namespaces in XML
    element       reads one small element: attributes, children, text
    cutter        cuts a server's bytes at stanza borders
    repair        removes from a server's stanza the elements that a browser could not read
    stanza_tag    the tag of a stanza whose content is removed, and the content written instead
    tag_counter   finds the end of an element whose content is not kept
    client        checks that a client's message is one element
    server        cuts a server's stream into stanzas
    worker_state  the parsers and warnings that all sessions of a worker share

``client`` and ``server`` handle one direction each, with the help of the other modules. A stanza is
forwarded as the bytes that arrived, never as a tree.
"""
