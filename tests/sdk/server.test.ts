// stepseal/server: sessions as a backend makes them.

import assert from "node:assert/strict";
import { test } from "node:test";
import { mintSession } from "../../sdk-wasm/pkg/server.js";

const GOLDEN = {
  project: "prj_demo",
  kid: "k1",
  project_secret: "whsec_s8UQnYcvghji0CsS63Blmb3NK9w4g+t6oZgPc+Kvwqw=",
  subject: "user_42",
  session: "ses_0123456789abcdef",
  origin: "https://app.example.com",
};
const CLAIMS =
  '{"v":1,"sub":"user_42","sid":"ses_0123456789abcdef","iat":1790000000,"exp":1790000900,"org":"https://app.example.com","scp":"ingest"}';

test("a session is the golden one", async (t) => {
  t.mock.timers.enable({ apis: ["Date"], now: 1_790_000_000_123 });
  const session = await mintSession(GOLDEN);
  assert.deepEqual(session, {
    token: `s1.prj_demo.k1.${Buffer.from(CLAIMS).toString("base64url")}`,
    key: Buffer.from("30fa06b4692f2f0b7f1ee97a40bf88edbe983152efd59fd012677a377e50c752", "hex").toString("base64"),
    expires_at: 1_790_000_900_000,
    server_time: 1_790_000_000_123,
  });
});

test("what is left out is random, absent or usual", async () => {
  const { project, kid, project_secret, subject } = GOLDEN;
  const [a, b] = await Promise.all([1, 2].map(() => mintSession({ project, kid, project_secret, subject, was: ["o_1"], ttl_s: 60 })));
  const claims = JSON.parse(Buffer.from(a!.token.split(".")[3]!, "base64url").toString());
  assert.deepEqual(Object.keys(claims), ["v", "sub", "sid", "iat", "exp", "scp", "was"]);
  assert.match(claims.sid, /^ses_[0-9a-f]{16}$/);
  assert.deepEqual(claims.was, ["o_1"]);
  assert.equal(claims.exp - claims.iat, 60);
  assert.notEqual(a!.token, b!.token);
});

test("claims beyond the limits are refused", async () => {
  for (const ttl_s of [0, 3_601, 1.5, NaN]) {
    await assert.rejects(mintSession({ ...GOLDEN, ttl_s }), { name: "TypeError", message: /ttl_s must be a whole number from 1 to 3600/ });
  }
  for (const project_secret of ["", "whsec_AAAA", GOLDEN.project_secret.slice(6), `${GOLDEN.project_secret}=`]) {
    await assert.rejects(mintSession({ ...GOLDEN, project_secret }), { name: "TypeError", message: /project_secret must be/ });
  }
  await assert.rejects(mintSession({ ...GOLDEN, subject: "x".repeat(700) }), { name: "TypeError", message: /longer than 768 bytes/ });
});

test("an error about a secret does not repeat it", async () => {
  const secret = "whsec_canary0123456789";
  await assert.rejects(mintSession({ ...GOLDEN, project_secret: secret }), (error: Error) => !String(error.stack).includes("canary"));
});
