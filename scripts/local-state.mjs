// What `npm start` keeps in its persist folder beside wrangler's local store: the generated
// secrets, the demo project's credentials and which migrations are applied.

import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { StepFailure } from "./step.mjs";

/** @param {string} persist */
export function localState(persist) {
  mkdirSync(persist, { recursive: true, mode: 0o700 });
  const secretsFile = join(persist, "secrets.env");
  const projectFile = join(persist, "project.json");
  const migrationsFile = join(persist, "migrations.sha256");
  return {
    persist,
    secretsFile,
    /** Generates the worker's secrets on the first start and returns the operator key. */
    operatorKey() {
      if (!existsSync(secretsFile)) writePrivate(secretsFile, newSecrets());
      const key = /^STEPSEAL_OPERATOR_KEY=(.+)$/m.exec(readFileSync(secretsFile, "utf8"))?.[1];
      if (!key) throw new StepFailure(`${secretsFile} has no STEPSEAL_OPERATOR_KEY.\n\nWhat to do: put it back, or start with an empty store: \`npm start -- --persist NEW_DIR\`.`);
      return key;
    },
    readProject() {
      return existsSync(projectFile) ? JSON.parse(readFileSync(projectFile, "utf8")) : undefined;
    },
    writeProject(project) {
      writePrivate(projectFile, `${JSON.stringify(project, null, 2)}\n`);
    },
    appliedMigrations() {
      return existsSync(migrationsFile) ? readFileSync(migrationsFile, "utf8") : undefined;
    },
    markMigrationsApplied(digest) {
      writePrivate(migrationsFile, digest);
    },
  };
}

/** Writes a file only its owner can read, whole or not at all. */
export function writePrivate(file, text) {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const staging = `${file}.partial`;
  writeFileSync(staging, text, { mode: 0o600 });
  renameSync(staging, file);
}

function newSecrets() {
  const roots = JSON.stringify({ k1: randomBytes(32).toString("base64") });
  return `STEPSEAL_ROOTS='${roots}'\nSTEPSEAL_OPERATOR_KEY=stepseal_operator_${randomBytes(32).toString("hex")}\n`;
}
