// edge-worker/build: the crate stepseal-edge as wrangler takes it, index.js beside index_bg.wasm.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { nodeEnv, packageCommand } from "./dependencies.mjs";
import { runLogged, StepFailure } from "./step.mjs";
import { ROOT } from "./workspace.mjs";

/** @param {Awaited<ReturnType<typeof import("./toolchain.mjs").ensureToolchain>>} tools */
export async function buildWorker({ wasmEnv, wasmBindgen, workerBuild }) {
  await runLogged("The worker's build", workerBuild, ["--release"], {
    log: "build-worker",
    cwd: join(ROOT, "edge-worker"),
    // worker-build downloads each of these three that is not named here.
    env: { ...nodeEnv(wasmEnv), WASM_BINDGEN_BIN: wasmBindgen, WASM_OPT_BIN: packageCommand("binaryen", "wasm-opt"), ESBUILD_BIN: packageCommand("esbuild") },
    advice: "read the compiler's message above; after fixing it, run `npm run build -- worker`.",
  });
  const script = join(ROOT, "edge-worker", "build", "index.js");
  if (!existsSync(script)) throw new StepFailure(`worker-build ended well but did not write ${script}.`);
}
