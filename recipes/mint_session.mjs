// Mints a session for a page (recipes/README.md) on Node, Deno and Bun.
//
// As a program it takes STEPSEAL_PROJECT, STEPSEAL_KID, STEPSEAL_PROJECT_SECRET, SUBJECT and ORIGIN (may be absent)
// from the environment and prints the session as JSON.

import process from "node:process";
import { mintSession } from "stepseal/server";

const { STEPSEAL_PROJECT, STEPSEAL_KID, STEPSEAL_PROJECT_SECRET, SUBJECT, ORIGIN } = process.env;
console.log(JSON.stringify(await mintSession({
  project: STEPSEAL_PROJECT,
  kid: STEPSEAL_KID,
  project_secret: STEPSEAL_PROJECT_SECRET,
  subject: SUBJECT,
  ...(ORIGIN ? { origin: ORIGIN } : {}),
})));
