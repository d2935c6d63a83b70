"""The rules that a gateway must obey, and the tests of each.

- ``rules.txt``: the rules in words.
- ``reader``: reads the rules, and from the tests the marks ``@pytest.mark.rule``.
- ``page``: the table of both for people.
- ``__main__``: prints that page, ``python -m tests.rules > docs/protocol.md``.
"""
