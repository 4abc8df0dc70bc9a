// The worker under schemathesis, once for every kind of key; `npm run conformance` runs it.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT, Worker } from "../fixtures/worker.ts";

const [command, examples] = process.argv.slice(2);
const CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance";

function schemathesis(url: string, key: string, folder: string, environment: Record<string, string>): Promise<number> {
  // The live feed never ends by itself; tests/worker/live.test.ts has it.
  const args = ["run", `${url}/openapi.json`, "--header", `Authorization: Bearer ${key}`, "--checks", CHECKS, "--phases", "examples,coverage,fuzzing", "--max-examples", examples!, "--exclude-path", "/v1/live", "--no-color"];
  const env = { ...process.env, ...environment, SCHEMATHESIS_HOOKS: "signing", PYTHONPATH: [join(ROOT, "tests", "conformance"), join(ROOT, "recipes")].join(":") };
  return new Promise((done, fail) => {
    spawn(command!, args, { cwd: folder, env, stdio: "inherit" }).once("error", fail).once("close", (code) => done(code ?? 1));
  });
}

const folder = mkdtempSync(join(tmpdir(), "stepseal-conformance-"));
const worker = await Worker.start();
try {
  const project = await worker.createProject("prj_conformance");
  const environment = { STEPSEAL_PROJECT: project.id, STEPSEAL_KID: project.kid, STEPSEAL_PROJECT_SECRET: project.projectSecret };
  for (const [role, key] of [["viewer", project.viewerKey], ["operator", worker.operatorKey], ["admin", project.adminKey]] as const) {
    console.log(`\n== with a key of the ${role}`);
    const code = await schemathesis(worker.url, key, folder, environment);
    if (code !== 0) process.exitCode = code;
  }
  // Only what a signature vouches for is counted with the project.
  const { json } = await worker.api.withKey(worker.operatorKey).get(`/v1/projects/${project.id}/usage`);
  const { received, stored } = json.ledger.batches;
  console.log(`\nsigned batches: ${received}, of which ${stored} were stored`);
  if (stored === 0) throw new Error("no batch was stored: signing.py does not sign");
} finally {
  rmSync(folder, { recursive: true, force: true });
  await worker.stop();
}
