"""RFC 6455, case by case: tables of the bytes sent and the required answers, played on two servers.

The numbering follows the families of the Autobahn test suite; the cases are independent of it.
"""
