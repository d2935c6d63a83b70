"""What an admin sees of a gateway: logs, metrics, the admin's listener, and what looks wrong.

logs, log_formats                              the log of a process, written by a thread
catalogue, instruments, exposition, metrics_files
                                               metrics: their table, their values, their files
state, publisher, overview                     what each process publishes, put together
administration, http_server, status_page       the ``wsgw_admin`` listener and its pages
certificates                                   when certificates end
findings                                       settings that work but are probably not meant
upstream_check                                 asks each XMPP server once whether it can be used
"""
