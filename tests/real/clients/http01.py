"""Shows the control of a domain by HTTP-01: certbot's webroot plugin writes, its ACME library verifies.

``http01.py WEBROOT DOMAIN PORT``, under the Python of Debian's python3-certbot. It prints whether the
verification (RFC 8555 section 8.3) succeeds while the file exists, and after certbot has removed it.
"""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

from acme import challenges, messages
from certbot._internal.plugins.webroot import Authenticator
from certbot.achallenges import KeyAuthorizationAnnotatedChallenge
from cryptography.hazmat.primitives.asymmetric import rsa
from josepy import JWKRSA


def main(webroot: str, domain: str, port: int) -> None:
    account = JWKRSA(key=rsa.generate_private_key(public_exponent=65537, key_size=2048))
    token = challenges.HTTP01(token=16 * b"\xfb")  # with - and _ in base64url
    body = messages.ChallengeBody(chall=token, uri="", status=messages.STATUS_PENDING)
    annotated = KeyAuthorizationAnnotatedChallenge(challb=body, domain=domain, account_key=account)
    plugin = Authenticator(SimpleNamespace(webroot_path=[webroot], webroot_map={}), "webroot")
    plugin.prepare()
    (response,) = plugin.perform([annotated])
    during = response.simple_verify(token, domain, account.public_key(), port)
    plugin.cleanup([annotated])
    after = response.simple_verify(token, domain, account.public_key(), port)
    print(json.dumps({"during": during, "after": after}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
