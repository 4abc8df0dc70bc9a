"""A hook for schemathesis: what it makes up for the ingest routes is signed, so that it gets beyond the signature."""

import base64
import hashlib
import hmac
import json
import os
import secrets
import time

import schemathesis
from mint_session import mint_session

PROJECT = os.environ["STEPSEAL_PROJECT"]
KID = os.environ["STEPSEAL_KID"]
SECRET = os.environ["STEPSEAL_PROJECT_SECRET"]
HEADER = '{"v":1,"x":"run_%s","k":0,"prev":"","n":0,"sdk":"conformance"}\n'


def signature(key, batch, ts, body):
    mac = hmac.new(key, f"{batch}.{ts}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(mac).decode()


def sealed(body):
    session = mint_session(PROJECT, KID, SECRET, "user_1")
    batch, ts = "bat_" + secrets.token_hex(16), int(time.time())
    line = f"b1 {session['token']} {batch} {ts} {signature(base64.b64decode(session['key']), batch, ts, body)}\n"
    return line.encode() + body


def batch_of(made_up):
    """As it is, behind a header, or as the text of a sound event: every depth of the pipeline is met."""
    header = (HEADER % secrets.token_hex(16)).encode()
    event = {"t": "log", "n": 0, "at": int(time.time() * 1000), "body": made_up.decode("utf-8", "replace")}
    return secrets.choice([made_up, header + made_up, header + json.dumps(event).encode() + b"\n"])


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.path not in ("/v1/batches", "/v1/server/batches") or case.method.upper() != "POST":
        return
    made_up = case.body if isinstance(case.body, bytes) else str(case.body).encode("utf-8", "replace")
    body = batch_of(made_up)
    if case.path == "/v1/batches":
        case.body = sealed(body)
        return
    batch, ts = "bat_" + secrets.token_hex(16), int(time.time())
    case.body = body
    case.headers.update({
        "stepseal-key": f"{PROJECT}.{KID}", "webhook-id": batch, "webhook-timestamp": str(ts),
        "webhook-signature": signature(base64.b64decode(SECRET[len("whsec_"):]), batch, ts, body),
    })
