"""RFC 6455, case by case: tables of what is sent and what must come back, played on two servers.

The numbering follows the families of the Autobahn test suite, which set the custom; the cases are our own.
"""
