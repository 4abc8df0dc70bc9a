// The known answers of protocol/vectors by Node's own crypto, and by the package's session minting: the same
// files that the Rust tests read.

import assert from "node:assert/strict";
import { createHmac, hkdfSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { mintSession } from "../../sdk-wasm/pkg/server.js";
import { seal } from "../client/batches.ts";
import { projectSecret, readSecret, revealSecret, sessionKey, sha256, sign, token } from "../client/keys.ts";
import { ROOT } from "../fixtures/worker.ts";

const vectors = (name: string) => JSON.parse(readFileSync(join(ROOT, "protocol", "vectors", `${name}.json`), "utf8"));
const bytes = (hex: string) => new Uint8Array(Buffer.from(hex, "hex"));
const hex = (data: Uint8Array | ArrayBuffer) => Buffer.from(data as Uint8Array).toString("hex");

test("HMAC-SHA256 gives RFC 4231's tags", () => {
  const { cases } = vectors("rfc4231");
  assert.equal(cases.length, 6);
  for (const { key, data, tag } of cases) {
    assert.equal(createHmac("sha256", bytes(key)).update(bytes(data)).digest("hex"), tag);
  }
});

test("HKDF-SHA256 gives RFC 5869's keys", () => {
  const { cases } = vectors("rfc5869");
  assert.equal(cases.length, 3);
  for (const { ikm, salt, info, length, okm } of cases) {
    assert.equal(hex(hkdfSync("sha256", bytes(ikm), bytes(salt), bytes(info), length)), okm);
  }
});

test("keys derive as in the golden values", () => {
  const { root, project_secrets, sessions } = vectors("keys");
  for (const { project, kid, secret, revealed } of project_secrets) {
    const derived = projectSecret(bytes(root), project, kid);
    assert.equal(hex(derived), secret);
    assert.equal(revealSecret(derived), revealed);
    assert.equal(hex(readSecret(revealed)), secret);
  }
  for (const session of sessions) {
    assert.equal(token(session.project, session.kid, JSON.parse(session.claims)), session.token);
    const secret = projectSecret(bytes(root), session.project, session.kid);
    assert.equal(hex(sessionKey(secret, session.token)), session.session_key);
  }
});

test("batches are sealed as in the golden values", () => {
  const { token, session_key, mac_only, chain } = vectors("batches");
  const key = bytes(session_key);
  assert.equal(sign(key, mac_only.batch_id, mac_only.ts, Buffer.from(mac_only.body)), mac_only.signature);
  let prev = "";
  for (const { batch_id, ts, body, sha256: digest, signature, sealed_base64 } of chain) {
    const raw = Buffer.from(body);
    assert.equal(sha256(raw, "hex"), digest);
    assert.equal(sign(key, batch_id, ts, raw), signature);
    assert.equal(seal({ token, key }, raw, { id: batch_id, ts }).toString("base64"), sealed_base64);
    assert.equal(JSON.parse(body.split("\n")[0]).prev, prev);
    prev = sha256(raw, "base64url");
  }
});

test("Standard Webhooks' own example", () => {
  const { secret, id, ts, body, signature } = vectors("standard-webhooks");
  assert.equal(sign(readSecret(secret), id, ts, Buffer.from(body)), signature);
});

test("a session minted by the package derives its key from its own token", async () => {
  const { root, project_secrets } = vectors("keys");
  const { project, kid, revealed } = project_secrets[0];
  const session = await mintSession({ project, kid, project_secret: revealed, subject: "user_42" });
  const secret = projectSecret(bytes(root), project, kid);
  assert.equal(Buffer.from(session.key, "base64").toString("hex"), hex(sessionKey(secret, session.token)));
  const [version, inProject, inKid, claims] = session.token.split(".");
  assert.deepEqual([version, inProject, inKid], ["s1", project, kid]);
  const { v, sub, scp, iat, exp } = JSON.parse(Buffer.from(claims!, "base64url").toString());
  assert.deepEqual({ v, sub, scp, life: exp - iat }, { v: 1, sub: "user_42", scp: "ingest", life: 900 });
});
