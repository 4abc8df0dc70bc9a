// Which texts hold secrets and which do not: the project's own corpus. Its values are invented, and put together here so that
// no scanner of secrets takes them for real.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Recorder } from "../../sdk-wasm/pkg/node.js";
import { Collector, session } from "./collector.ts";

let collector: Collector;
before(async () => {
  collector = await Collector.start();
});
after(() => collector.stop());

/** Letters of each case and digits, none of which is a hex digit's only. */
const PLAIN = "q7Zr2XkW9vTm4LpB8nYc5HdJ3sGf6QgK1wRtV0xNzMbPyCjDhSlFuAeIoUiEaOqWsZxRtY7u8";
const UPPER = "QWERTY23456UIOPASDFG7HJKLZXCVBNMQWERTY23456UIOPASDFGHJKLZXCVBNM";
const HEX = "0f3a9c5e7b1d2846a0c4e8f1b3d597260f3a9c5e7b1d2846a0c4e8f1b3d597260f3a9c5e7b1d2846";
const DIGITS = "5938201746582930";
/** A card number that its network gives for tests. */
const CARD = "4242424242424242";

/** What is recorded of each value, in the order of the values. */
async function recorded(values: unknown[]): Promise<any[]> {
  const recorder = await Recorder.start({ endpoint: collector.url, session: session() });
  const run = recorder.startExecution({ name: "corpus" });
  for (const value of values) run.log(value);
  assert.equal((await recorder.close()).stored, values.length + 1);
  return collector.events(run.id).filter(({ t }) => t === "log").map((event) => event["body"]);
}

/** The same of texts, with `<kind>` in the place of marks. */
async function unmarked(texts: string[]): Promise<string[]> {
  const bodies = await recorded(texts.map((text) => [text]));
  return bodies.map(([text]) => (typeof text === "string" ? text.replace(/\[redacted (\w+) [0-9a-f]{8}\]/g, "<$1>") : `<${text.$redacted.kind}>`));
}

const key = (prefix: string, body: string, length: number): [string, string] => ["api_key", prefix + body.slice(0, length)];

const FAMILIES: [kind: string, secret: string][] = [
  key("AKIA", UPPER, 16), key("ASIA", UPPER, 16), key("AIza", PLAIN, 35), key("GOCSPX-", PLAIN, 28), key("ya29.a0", PLAIN, 60),
  key("sig=", PLAIN, 44),
  key("ghp_", PLAIN, 36), key("gho_", PLAIN, 36), key("ghu_", PLAIN, 36), key("ghs_", PLAIN, 36), key("ghr_", PLAIN, 36), key("github_pat_", PLAIN, 59),
  key("glpat-", PLAIN, 20), key("glrt-", PLAIN, 20), key("ATBB", PLAIN, 32), key("ATATT3", PLAIN, 60),
  key("sk-", PLAIN, 48), key("sk-proj-", PLAIN, 60), key("sk-svcacct-", PLAIN, 60), key("sk-ant-api03-", PLAIN, 70), key("sk-or-v1-", HEX, 64),
  key("hf_", PLAIN, 34), key("gsk_", PLAIN, 52), key("r8_", PLAIN, 37), key("xai-", PLAIN, 60), key("pplx-", PLAIN, 48), key("nvapi-", PLAIN, 64), key("lsv2_pt_", HEX, 43),
  key("sk_live_", PLAIN, 24), key("rk_live_", PLAIN, 24), key("sk_test_", PLAIN, 24), key("whsec_", PLAIN, 32), key("sq0atp-", PLAIN, 22), key("EAAA", PLAIN, 60),
  key("access_token$production$", HEX, 48),
  ["api_key", `xoxb-${DIGITS.slice(0, 11)}-${PLAIN.slice(0, 24)}`], ["api_key", `xapp-1-${UPPER.slice(0, 11)}-${HEX.slice(0, 40)}`],
  ["api_key", `hooks.slack.com/services/${UPPER.slice(0, 9)}/${UPPER.slice(0, 9)}/${PLAIN.slice(0, 24)}`],
  ["api_key", `discord.com/api/webhooks/${DIGITS}/${PLAIN.slice(0, 60)}`],
  ["api_key", `M${PLAIN.slice(0, 23)}.${PLAIN.slice(0, 6)}.${PLAIN.slice(0, 38)}`], ["api_key", `${DIGITS.slice(0, 10)}:AA${PLAIN.slice(0, 33)}`],
  key("SK", HEX, 32), key("AC", HEX, 32), ["api_key", `SG.${PLAIN.slice(0, 22)}.${PLAIN.slice(0, 43)}`], key("key-", HEX, 32),
  key("npm_", PLAIN, 36), key("pypi-AgEIcHlwaS5vcmc", PLAIN, 60), key("dckr_pat_", PLAIN, 27), key("shpat_", HEX, 32), key("dop_v1_", HEX, 64), key("dapi", HEX, 32),
  key("vcp_", PLAIN, 24), key("lin_api_", PLAIN, 40), key("ntn_", PLAIN, 46), key("hvs.", PLAIN, 40),
  key("stepseal_viewer_", HEX, 40),
  ["jwt", `eyJ${PLAIN.slice(0, 17)}.eyJ${PLAIN.slice(0, 30)}.${PLAIN.slice(0, 43)}`], ["jwt", `eyJ${PLAIN.slice(0, 17)}..${PLAIN.slice(0, 16)}.${PLAIN.slice(0, 30)}.${PLAIN.slice(0, 22)}`],
  ["email", "ann.lee+x@mail.example.com"], ["email", "jörg@bücher.example"],
  ["card", CARD], ["card", "4242 4242 4242 4242"], ["card", "3782-822463-10005"], ["card", "5555555555554444"],
  ["private_key", `-----BEGIN RSA PRIVATE KEY-----\n${PLAIN}\n-----END RSA PRIVATE KEY-----`],
];

test("every family is found alone", async () => {
  const texts = FAMILIES.map(([, secret]) => secret);
  assert.deepEqual(await unmarked(texts), FAMILIES.map(([kind]) => `<${kind}>`));
  assert.deepEqual(await unmarked([`-----BEGIN PRIVATE KEY-----\n${PLAIN}`]), ["<private_key>"], "its end is missing");
});

for (const around of ["see # now", "x=#&y=1", '"#"', "(#)", "\n#\n", "a,#,b", "https://h.example/?k=#", "\\n#\\n", "%3D#", '{\\"k\\":\\"#\\"}']) {
  test(`every family is found in ${JSON.stringify(around)}`, async () => {
    const [before, behind] = around.split("#") as [string, string];
    const found = await unmarked(FAMILIES.map(([, secret]) => before + secret + behind));
    assert.deepEqual(found, FAMILIES.map(([kind]) => `${before}<${kind}>${behind}`));
  });
}

test("all of a key goes where two families find a part of it each", async () => {
  assert.deepEqual(await unmarked([`sk-ABSK${PLAIN.slice(0, 20)}/${PLAIN.slice(0, 20)}=.`, `sk-lf-sk-${PLAIN.slice(0, 30)}-${PLAIN.slice(0, 9)}`]), ["<api_key><api_key>.", "<api_key>"]);
});

test("what comes near a family stays", async () => {
  const harmless = [
    "AKIA is a prefix", `AKIA${UPPER.slice(0, 15)}`, `AKIA${UPPER.slice(0, 16)}x`, `xAKIA${UPPER.slice(0, 16)}`, `task-${PLAIN.slice(0, 30)}`,
    "sk-learn-is-a-library-of-many-functions", `sk-${PLAIN.slice(0, 15)}`, `ghp_${PLAIN.slice(0, 20)}`, `dapi${HEX.slice(0, 31)}`,
    "eyJust a word. And another.", `eyJ${PLAIN.slice(0, 20)}.x`, "-----BEGIN", "-----BEGIN x", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----", "---------------------",
    "npm install @scope/package@1.2.3", "@mention and a@b and a@b.c", "4242424242424241", "1790000000000", "0.4242424242424242", "12424242424242424242", "4242 4242 4242",
    "Basic Economy/Business and Basic economy", "a bearer of responsibilities", "https://h.example:8080/a@b", "the password: please ask", "secret = os.environ",
    'max_tokens: 4096, "token": "Hello", author: ann1', `run_${HEX.slice(0, 32)}`, `call_${PLAIN.slice(0, 24)}`, `chatcmpl-${PLAIN.slice(0, 29)}`, `toolu_01${PLAIN.slice(0, 22)}`,
    "12:34:56, 10.0.0.1, +1 415 555 2671", "a8098c1a-f86e-11da-bd1a-00112444be1e",
  ];
  assert.deepEqual(await unmarked(harmless), harmless);
});

test("what is named as a secret is one", async () => {
  const cases: [from: string, to: string][] = [
    ["password=abc&x=1", "password=<secret>&x=1"],
    ["PGPASSWORD=abc psql", "PGPASSWORD=<secret> psql"],
    ["api_key: abc123", "api_key: <secret>"],
    ["api-key='a b c'", "api-key='<secret>'"],
    ['{"password": "a\\"b", "x": "y"}', '{"password": "<secret>", "x": "y"}'],
    ['{\\"client_secret\\":\\"abc\\",\\"x\\":1}', '{\\"client_secret\\":\\"<secret>\\",\\"x\\":1}'],
    ["AccountName=a;AccountKey=x/y+z==;End=1", "AccountName=a;AccountKey=<secret>;End=1"],
    ["aws_secret_access_key = wJa1rX/b", "aws_secret_access_key = <secret>"],
    ["'secret' => 'x'", "'secret' => '<secret>'"],
    ["Cookie: a=b; c=d\nHost: x", "Cookie: <authorization>\nHost: x"],
    ["-H 'Authorization: Token abc123def'", "-H 'Authorization: <authorization>'"],
    ["use Bearer q7Zr2XkW9vTm4LpB.", "use Bearer <authorization>"],
    ["Basic dXNlcjpwYXNz", "Basic <authorization>"],
    ["postgres://ann:p@ss@db.example/x", "postgres://ann:<connection_string>@db.example/x"],
    ["postgres://ann:p!ss.@db.example/x", "postgres://ann:<connection_string>@db.example/x"],
    ['password="unclosed', 'password="<secret>'],
    ["password='unclosed", "password='<secret>"],
  ];
  assert.deepEqual(await unmarked(cases.map(([from]) => from)), cases.map(([, to]) => to));
});

test("members whose names are secrets' lose their values", async () => {
  const [body] = await recorded([
    { Password: "x", api_key: 12, pin_secret: -1.5e3, clientSecret: { type: "string" }, secret: true, x: { token: "t" }, password: "", "a\\b": 'q"', passcode: 'a\\"b\\\\' },
  ]);
  const kinds = JSON.parse(JSON.stringify(body, (_, value) => (value?.$redacted ? `<${value.$redacted.kind}>` : value)));
  assert.deepEqual(kinds, {
    Password: "<secret>", api_key: "<secret>", pin_secret: "<secret>", clientSecret: { type: "string" }, secret: true, x: { token: "t" }, password: "", "a\\b": 'q"', passcode: "<secret>",
  });
});

test("keys and numbers are looked at", async () => {
  const [body] = await recorded([{ "ann@example.com": 1, n: Number(CARD), m: 424_242, list: [Number(CARD), 7], at: 1_790_000_000_000 }]);
  const { n, m, list, at, ...rest } = body;
  assert.deepEqual([n.$redacted.kind, m, list[0].$redacted.kind, list[1], at], ["card", 424_242, "card", 7, 1_790_000_000_000]);
  assert.match(Object.keys(rest)[0]!, /^\[redacted email [0-9a-f]{8}\]$/);
});

test("whatever is recorded stays JSON, with nothing but secrets gone", async () => {
  const pieces = ["ann@example.com", CARD, 'password="', "password=", "Cookie: ", '"', "\\", "\n", "\\n", "é", "😀", " ", "a", "7", ":", "://u:", "@", "[redacted ", "-----BEGIN PRIVATE KEY", "-----END", "%40", "sk-", "\u0000"];
  // A generator of its own, so that a failure comes again.
  let state = 20_261_121;
  const random = (below: number): number => ((state = (state * 48_271) % 2_147_483_647) % below);
  const text = (): string => Array.from({ length: random(12) }, () => pieces[random(pieces.length)]).join("");
  const values = Array.from({ length: 3_000 }, () => ({ [text()]: text(), list: [text(), random(9)], in: JSON.stringify({ [text()]: text() }) }));
  const bodies = await recorded(values);
  for (const [index, body] of bodies.entries()) {
    assert.equal(Object.keys(body).length, Object.keys(values[index]!).length, JSON.stringify(values[index]));
    assert.equal(body.list[1], values[index]!.list[1]);
    assert.equal(JSON.stringify(body).includes("ann@example.com"), false, JSON.stringify([values[index], body]));
  }
});

test("the worst texts end", async () => {
  // A search that looked back or ahead without bound would take days for a megabyte. `npm run bench -- redaction` has the speeds.
  const units = [
    "a", "word ", "-----BEGIN ", "-----BEGIN PRIVATE KEY", "4", "4242 ", "1 ", "eyJ", "eyJaaaaaaaaaaaaaaaaaaaaaa-", "a@", "@", "a@b.", "%40", "a%40", "://a:", "password: ", "password='", 'password="',
    "authorization: ", "cookie:", "\\", "\\n", "sk-", "bearer ", "key-", ".", "1:AA", "[redacted ", "password=[redacted ", "é", '"', "a.a", "A1b.", "=", ":", "-", "_aaaaaaaaaaaaaaaa", "lsv2_sk_", "hooks.slack.com/", `key-${HEX}g`,
  ];
  const bodies = await recorded(units.map((unit) => unit.repeat(200_000 / unit.length)));
  assert.equal(bodies.length, units.length);
});
