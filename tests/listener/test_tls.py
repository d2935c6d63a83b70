"""TLS versions, and plain HTTP to a TLS port."""

from __future__ import annotations

import ssl
import warnings

import pytest

from tests.listener.heads import GOOD, answer, request
from tests.support.certificates import Certificate
from tests.support.gateway import Gateway
from tests.support.wire import Browser


def test_plain_http_to_a_tls_port_is_closed(edge: Gateway) -> None:
    assert not answer(edge.wss_port, request(*GOOD)).startswith(b"HTTP")


@pytest.mark.rule("8996")
@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_tls_1_2_and_1_3_are_accepted(edge: Gateway, certificate: Certificate, version: str) -> None:
    context = ssl.create_default_context(cafile=certificate.ca)
    context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    browser = Browser(edge.wss_port, context=context)
    assert browser.head.startswith("HTTP/1.1 101 ")
    browser.close()


@pytest.mark.rule("8996")
def test_tls_1_1_is_refused(edge: Gateway) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match=r"(?i)protocol"):
        Browser(edge.wss_port, context=context)
