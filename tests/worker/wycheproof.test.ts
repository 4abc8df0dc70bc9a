// Project Wycheproof's vectors in workerd: the Rust ciphers compiled as the worker is, and the platform's AES-GCM
// that seals bodies. The native run of the same functions is in tests/wycheproof.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";
import { ensureToolchain } from "../../scripts/toolchain.mjs";
import { ROOT } from "../fixtures/worker.ts";

const TARGET = "wasm32-unknown-unknown";

const SCRIPT = `
import module from "./vectors.wasm";
const exports = new WebAssembly.Instance(module).exports;
const halves = (packed) => [Number(BigInt.asUintN(64, packed) >> 32n), Number(BigInt.asUintN(32, packed))];

async function passes({ key, nonce, aad, plain, sealed, valid }) {
  const bytes = (list) => new Uint8Array(list);
  const imported = await crypto.subtle.importKey("raw", bytes(key), "AES-GCM", false, ["encrypt", "decrypt"]);
  const algorithm = { name: "AES-GCM", iv: bytes(nonce), additionalData: bytes(aad) };
  const equal = (buffer, list) => JSON.stringify([...new Uint8Array(buffer)]) === JSON.stringify(list);
  try {
    const opened = await crypto.subtle.decrypt(algorithm, imported, bytes(sealed));
    return valid && equal(opened, plain) && equal(await crypto.subtle.encrypt(algorithm, imported, bytes(plain)), sealed);
  } catch {
    return !valid;
  }
}

async function platform() {
  const [start, length] = halves(exports.aes_256_gcm_vectors());
  const vectors = JSON.parse(new TextDecoder().decode(new Uint8Array(exports.memory.buffer, start, length)));
  const failed = [];
  for (const vector of vectors) if (!(await passes(vector))) failed.push(vector.id);
  return { tried: vectors.length, invalid: vectors.filter(({ valid }) => !valid).length, failed };
}

export default {
  async fetch(request) {
    const name = new URL(request.url).pathname.slice(1);
    if (name === "platform") return Response.json(await platform());
    const [failed, tried] = halves(exports[name]());
    return Response.json({ tried, failed });
  },
};`;

let workerd: Miniflare;

before(async () => {
  const { wasmEnv } = await ensureToolchain();
  execFileSync("cargo", ["build", "--quiet", "--release", "-p", "stepseal-wycheproof", "--target", TARGET], { cwd: ROOT, env: wasmEnv, stdio: "inherit" });
  workerd = new Miniflare(convertV4MiniflareOptions({
    cf: false,
    telemetry: { enabled: false },
    compatibilityDate: "2026-11-01",
    modulesRoot: "/",
    modules: [
      { type: "ESModule", path: "/index.js", contents: SCRIPT },
      { type: "CompiledWasm", path: "/vectors.wasm", contents: readWasm() },
    ],
  } as any));
});

after(() => workerd?.dispose());

function readWasm(): Uint8Array {
  return new Uint8Array(readFileSync(join(process.env.CARGO_TARGET_DIR ?? join(ROOT, "target"), TARGET, "release", "stepseal_wycheproof.wasm")));
}

const run = async (name: string): Promise<any> => (await workerd.dispatchFetch(`http://workerd/${name}`)).json();

for (const [name, least] of [["hmac_sha256", 170], ["hkdf_sha256", 80], ["aes_256_gcm_siv", 90]] as const) {
  test(`${name}, as the worker links it`, async () => {
    const { tried, failed } = await run(name);
    assert.ok(tried >= least, `only ${tried} vectors`);
    assert.equal(failed, 0);
  });
}

test("aes_256_gcm, the platform's", async () => {
  const { tried, invalid, failed } = await run("platform");
  assert.ok(tried >= 60 && invalid > 0, `${tried} vectors, ${invalid} invalid`);
  assert.deepEqual(failed, []);
});
