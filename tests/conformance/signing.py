"""A hook for schemathesis: what it makes up for the ingest routes is signed, so that it gets beyond the signature; what it makes up for
the import is also sent as a signed batch's line."""

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


def line_of(made_up):
    """As it is, or as the body of a batch in a line of an export."""
    x = "run_" + secrets.token_hex(16)
    event = {"t": "log", "n": 0, "at": int(time.time() * 1000), "body": made_up.decode("utf-8", "replace")}
    body = secrets.choice([made_up, (HEADER % x[4:]).encode() + json.dumps(event).encode() + b"\n"])
    line = {
        "t": "batch", "x": x, "w": "", "k": 0, "sha256": hashlib.sha256(body).hexdigest(), "received_at": int(time.time() * 1000) - 1000,
        "provenance": "backend", "subject": "user_1", "envelope": sealed(body).split(b"\n", 1)[0].decode(), "body": base64.b64encode(body).decode(),
    }
    return secrets.choice([made_up, json.dumps(line).encode()])


def as_bytes(value):
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


@schemathesis.serializer("application/x-ndjson")
def ndjson(ctx, value):
    return as_bytes(value)


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.path.endswith("/import") and case.method.upper() == "POST":
        case.body = line_of(as_bytes(case.body))
        return
    if case.path not in ("/v1/batches", "/v1/server/batches") or case.method.upper() != "POST":
        return
    made_up = as_bytes(case.body)
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
