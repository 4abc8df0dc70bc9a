// A Chromium for the browser tests: the one named by CHROMIUM_PATH, an installed one, or on
// Linux x64 a build from npm that needs no system package. `node scripts/chromium.mjs` prints it.

import { accessSync, constants, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { pathToFileURL } from "node:url";
import { findNode } from "./dependencies.mjs";
import { withLock } from "./lock.mjs";
import { exitWith, runLogged, say, step, StepFailure } from "./step.mjs";
import { TOOLS } from "./workspace.mjs";

const COMMANDS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const MAC_APPLICATIONS = ["/Applications/Google Chrome.app/Contents/MacOS/Google Chrome", "/Applications/Chromium.app/Contents/MacOS/Chromium"];
const PACKAGE = "@sparticuz/chromium";
const PACKAGE_VERSION = "153.0.0";
const ADVICE = "install Chromium or Chrome (on Debian: `apt-get install chromium`), or set CHROMIUM_PATH to one.";

/** @returns {Promise<string>} the path of a Chromium that Playwright can launch */
export async function findChromium() {
  const named = process.env.CHROMIUM_PATH;
  if (named) {
    if (isExecutable(named)) return named;
    throw new StepFailure(`CHROMIUM_PATH names ${named}, which is not a program.`);
  }
  return installedChromium() ?? packagedChromium();
}

function installedChromium() {
  const folders = (process.env.PATH ?? "").split(delimiter);
  const candidates = COMMANDS.flatMap((command) => folders.map((folder) => join(folder, command)));
  return [...candidates, ...MAC_APPLICATIONS].find(isExecutable);
}

function packagedChromium() {
  if (process.platform !== "linux" || process.arch !== "x64") throw new StepFailure(`No Chromium was found.\n\nWhat to do: ${ADVICE}`);
  const home = join(TOOLS, `chromium-${PACKAGE_VERSION}`);
  const launcher = join(home, "launch");
  return withLock(join(TOOLS, "chromium.lock"), async () => {
    if (!existsSync(launcher)) await step(`Installing Chromium ${PACKAGE_VERSION} from npm`, () => unpack(home));
    return launcher;
  });
}

async function unpack(home) {
  const staging = `${home}.partial`;
  rmSync(staging, { recursive: true, force: true });
  rmSync(home, { recursive: true, force: true });
  mkdirSync(staging, { recursive: true });
  writeFileSync(join(staging, "package.json"), '{ "private": true, "type": "module" }\n');
  await runLogged("npm install", "npm", ["install", "--no-audit", "--no-fund", "--save-exact", `${PACKAGE}@${PACKAGE_VERSION}`], { log: "chromium-npm", cwd: staging, advice: ADVICE });
  // The package unpacks into the temporary folder, and its shared libraries only where it
  // believes to run in a cloud function.
  await runLogged("Unpacking Chromium", findNode(), ["--input-type=module", "-e", `import chromium from "${PACKAGE}"; await chromium.executablePath();`], {
    log: "chromium-unpack",
    cwd: staging,
    env: { ...process.env, TMPDIR: staging, AWS_LAMBDA_JS_RUNTIME: "nodejs22.x" },
    advice: ADVICE,
  });
  rmSync(join(staging, "node_modules"), { recursive: true });
  writeFileSync(join(staging, "launch"), `#!/bin/sh\nhere='${home}'\nexport LD_LIBRARY_PATH="$here/al2023/lib" FONTCONFIG_PATH="$here/fonts"\nexec "$here/chromium" "$@"\n`, { mode: 0o755 });
  renameSync(staging, home);
}

function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await findChromium().then(say).catch(exitWith);
