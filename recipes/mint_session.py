"""Mints a session for a page (recipes/README.md). Standard library only.

As a program it takes STEPSEAL_PROJECT, STEPSEAL_KID, STEPSEAL_PROJECT_SECRET, SUBJECT and ORIGIN (may be absent)
from the environment and prints the session as JSON.
"""

import base64
import hashlib
import hmac
import json
import os
import secrets
import time


def mint_session(project, kid, project_secret, subject, origin=None, ttl_s=900):
    """The session's token and key; give them to the page of the user you know as `subject`."""
    if not 1 <= ttl_s <= 3600:
        raise ValueError("ttl_s must be 1 to 3600")
    if not project_secret.startswith("whsec_"):
        raise ValueError("project_secret must begin with whsec_")
    now = time.time()
    claims = {
        "v": 1,
        "sub": subject,
        "sid": "ses_" + secrets.token_hex(8),
        "iat": int(now),
        "exp": int(now) + ttl_s,
        "scp": "ingest",
    }
    if origin is not None:
        claims["org"] = origin
    encoded = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    token = f"s1.{project}.{kid}.{encoded}"
    if len(token) > 768:
        raise ValueError("the claims make a token longer than 768 bytes")
    secret = base64.b64decode(project_secret[len("whsec_"):], validate=True)
    if len(secret) != 32:
        raise ValueError("project_secret must hold 32 bytes")
    key = session_key(secret, token)
    return {
        "token": token,
        "key": base64.b64encode(key).decode(),
        "expires_at": claims["exp"] * 1000,
        "server_time": int(now * 1000),
    }


def session_key(secret, token):
    """HKDF-SHA256 (RFC 5869), empty salt, one block of output."""
    prk = hmac.new(bytes(32), secret, hashlib.sha256).digest()
    info = b"stepseal/session-key/v1\0" + token.encode()
    return hmac.new(prk, info + b"\1", hashlib.sha256).digest()


if __name__ == "__main__":
    print(json.dumps(mint_session(
        os.environ["STEPSEAL_PROJECT"],
        os.environ["STEPSEAL_KID"],
        os.environ["STEPSEAL_PROJECT_SECRET"],
        os.environ["SUBJECT"],
        os.environ.get("ORIGIN"),
    )))
