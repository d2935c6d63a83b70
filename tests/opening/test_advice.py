"""The advice that a refused request gets."""

from __future__ import annotations

from wsgw.opening.advice import UPGRADE_LOST, WELCOME


def test_advice_names_what_to_change() -> None:
    for text in (UPGRADE_LOST, WELCOME):
        assert "proxy_http_version 1.1;" in text
        assert "proxy_set_header Upgrade $http_upgrade;" in text
        assert 'proxy_set_header Connection "upgrade";' in text
