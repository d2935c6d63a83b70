"""Finds out what keeps clients from logging in through a gateway, and says what to do: ``wsgw doctor``.

    command        what was asked on the command line; runs the checks; the exit status
    inquiry        what was asked, as the checks get it; a check
    finding        one result of a check
    report         findings as lines for people, or as JSON

    configuration  the errors and warnings of the configuration

A check is a function that yields findings as they come. It has a bounded time, and asks no other hosts than
those of the inquiry. ``docs/doctor.md`` describes the checks for admins.
"""

from wsgw.doctor.command import Arguments, doctor

__all__ = ["Arguments", "doctor"]
