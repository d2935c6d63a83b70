"""What an admin sees of a gateway: the log, the metrics and the admin listener.

    logs, log_formats
                     the log of a process, written by a thread
    catalogue, instruments, exposition, metrics_files
                     metrics: their table, their values, their text, their files
    state, publisher, overview
                     the state that each process publishes, and the sum of all
    history, recorder
                     the samples of the last hour: their memory, and each worker's part
    administration, http_server, admin_pages
                     the ``wsgw_admin`` listener and its answers
    status_document, status_page, last_hour
                     the state as a document, as a page, and the last hour as a table
    session_pages, session_markup, token_access
                     the pages about sessions, and who may see them
    session_exchange, session_queries, trace_lines
                     what each worker answers about its sessions and their traces
    markup, page_frame
                     HTML, and what all pages have in common
    announcement     the lines with which a gateway starts
    expiry           when certificates expire
    host_meta_files  the files of ``wsgw host-meta`` for another web server

``docs/logs.md``, ``docs/metrics.md`` and ``docs/operations.md`` describe them for admins.
"""
