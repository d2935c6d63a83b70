"""``python -m tests.rules > docs/protocol.md``."""

from tests.rules.page import page

print(page(), end="")
