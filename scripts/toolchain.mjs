// The Rust side of the tool chain: a cargo that can build for wasm32-unknown-unknown, the
// wasm-bindgen command of the version in Cargo.lock, and worker-build.
//
// `node scripts/toolchain.mjs` sets it up; `node scripts/toolchain.mjs env` prints the exports
// that make plain `cargo build --target wasm32-unknown-unknown` work in a shell.

import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync, copyFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { withLock } from "./lock.mjs";
import { capture, exitWith, runLogged, runStep, say, step, StepFailure } from "./step.mjs";
import { TOOLS, WASM_BINDGEN_VERSION, WASM_TARGET, WORKER_BUILD_VERSION } from "./workspace.mjs";

const RUSTUP_TIMEOUT_MS = 180_000;
const DEBIAN_PACKAGES = ["rustc-web", "cargo-web", "rust-web-src", "rust-web-llvm", "rust-web-clippy", "lld-22"];
const DEBIAN_RUSTC = "/usr/bin/rustc";
const DEBIAN_CARGO = "/usr/bin/cargo";
/** Names the finished sysroot; written last, so that a half-made folder is never taken for it. */
const COMPLETE = "complete";

/**
 * Makes sure of the whole tool chain.
 * @returns {Promise<{ wasmEnv: NodeJS.ProcessEnv, wasmBindgen: string, workerBuild: string }>}
 *   `wasmEnv` is the environment in which `cargo build --target wasm32-unknown-unknown` works.
 */
export function ensureToolchain() {
  return withLock(join(TOOLS, "toolchain.lock"), async () => {
    await requireCargo();
    const wasmEnv = await ensureWasmTarget();
    const wasmBindgen = await ensureCargoTool("wasm-bindgen", "wasm-bindgen-cli", WASM_BINDGEN_VERSION, []);
    const workerBuild = await ensureCargoTool("worker-build", "worker-build", WORKER_BUILD_VERSION, ["--locked"]);
    rmSync(join(TOOLS, "cargo-install-target"), { recursive: true, force: true });
    return { wasmEnv, wasmBindgen, workerBuild };
  });
}

async function requireCargo() {
  if (await capture("cargo", ["--version"])) return;
  throw new StepFailure("Rust is missing: `cargo` is not on the path.\n\nWhat to do: install it from https://rustup.rs and run this again.");
}

async function ensureWasmTarget() {
  if (await canBuildWasm(process.env)) return process.env;
  const built = await findBuiltSysroot();
  if (built) return built;
  if (await addRustupTarget()) return process.env;
  return buildDebianSysroot();
}

async function canBuildWasm(env) {
  const libdir = await capture("rustc", ["--print", "target-libdir", "--target", WASM_TARGET], env);
  return libdir !== undefined && existsSync(libdir) && readdirSync(libdir).some((file) => /^libstd-.*\.rlib$/.test(file));
}

async function addRustupTarget() {
  if (!(await capture("rustup", ["--version"]))) return false;
  try {
    await runStep(`Adding Rust's ${WASM_TARGET} target`, "rustup", ["target", "add", WASM_TARGET], {
      log: "rustup-target-add",
      timeoutMs: RUSTUP_TIMEOUT_MS,
      env: { ...process.env, RUSTUP_MAX_RETRIES: "1" },
    });
  } catch (error) {
    if (!(error instanceof StepFailure)) throw error;
    say("    rustup could not download it; building the standard library from Debian's packages instead");
    return false;
  }
  return canBuildWasm(process.env);
}

// --- Without rustup's downloads: Debian's Rust, and a standard library built from its source ---

async function findBuiltSysroot() {
  const version = await debianRustVersion();
  if (!version) return undefined;
  const sysroot = sysrootFor(version);
  return existsSync(join(sysroot, COMPLETE)) ? sysrootEnv(sysroot) : undefined;
}

async function buildDebianSysroot() {
  await installDebianPackages();
  const version = await debianRustVersion();
  if (!version) throw new StepFailure(`${DEBIAN_RUSTC} is not Debian's Rust although its packages are installed.\n\nWhat to do: ${debianAdvice()}`);
  const sysroot = sysrootFor(version);
  await step(`Building Rust ${version}'s standard library for ${WASM_TARGET} (1 to 2 minutes)`, () => assembleSysroot(sysroot));
  const env = sysrootEnv(sysroot);
  if (!(await canBuildWasm(env))) throw new StepFailure(`The standard library in ${sysroot} is not usable.\n\nWhat to do: remove that folder and run this again.`);
  return env;
}

async function debianRustVersion() {
  if (!DEBIAN_PACKAGES_PROOF.every((file) => existsSync(file))) return undefined;
  return (await capture(DEBIAN_RUSTC, ["--version"]))?.split(" ")[1];
}

/** One file of each package the sysroot needs. */
const DEBIAN_PACKAGES_PROOF = [DEBIAN_RUSTC, DEBIAN_CARGO, "/usr/bin/cargo-clippy", "/usr/bin/rust-lld", "/usr/bin/lld-22", "/usr/lib/rustlib/src/rust/library/std/Cargo.toml"];

async function installDebianPackages() {
  if (DEBIAN_PACKAGES_PROOF.every((file) => existsSync(file))) return;
  const apt = await capture("apt-get", ["--version"]);
  if (!apt || process.getuid?.() !== 0) throw new StepFailure(`Rust's ${WASM_TARGET} target is missing and rustup could not download it.\n\nWhat to do: ${debianAdvice()}`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  await step("Installing Debian's Rust packages (1 to 2 minutes)", async () => {
    await runLogged("apt-get update", "apt-get", ["update"], { log: "apt-update", env, advice: debianAdvice() });
    await runLogged("apt-get install", "apt-get", ["install", "-y", "--no-install-recommends", ...DEBIAN_PACKAGES], { log: "apt-install", env, advice: debianAdvice() });
  });
}

function debianAdvice() {
  return (
    `with access to static.rust-lang.org, run \`rustup target add ${WASM_TARGET}\`;\n` +
    `without it, on Debian 12 or later, run as root\n` +
    `  apt-get update && apt-get install ${DEBIAN_PACKAGES.join(" ")}\n` +
    "and start this command again."
  );
}

const sysrootFor = (version) => join(TOOLS, `rust-wasm-${version}`);

/**
 * A sysroot beside Debian's, which stays untouched: the host's libraries are linked in, the
 * wasm ones are built, and wrappers in bin/ make rustc, cargo and clippy use it.
 */
async function assembleSysroot(sysroot) {
  const staging = `${sysroot}.partial`;
  rmSync(staging, { recursive: true, force: true });
  rmSync(sysroot, { recursive: true, force: true });
  await buildStandardLibrary(staging);
  linkHostLibraries(staging);
  writeWrappers(staging, sysroot);
  writeFileSync(join(staging, COMPLETE), "");
  renameSync(staging, sysroot);
}

async function buildStandardLibrary(staging) {
  const probe = join(staging, "probe");
  mkdirSync(join(probe, "src"), { recursive: true });
  writeFileSync(join(probe, "src", "lib.rs"), "");
  writeFileSync(join(probe, "Cargo.toml"), '[package]\nname = "probe"\nversion = "0.0.0"\nedition = "2024"\n[workspace]\n');
  await runLogged("Building the standard library", DEBIAN_CARGO, ["build", "--release", "--target", WASM_TARGET, "-Zbuild-std=std,panic_abort"], {
    log: "build-std",
    cwd: probe,
    env: {
      ...process.env,
      RUSTC: DEBIAN_RUSTC,
      RUSTC_BOOTSTRAP: "1",
      // Without bitcode in the libraries, link-time optimisation cannot see into them and fails.
      RUSTFLAGS: "-C embed-bitcode=yes",
      CARGO_TARGET_DIR: join(probe, "target"),
    },
    advice: "crates.io must be reachable: the standard library's own dependencies come from there.",
  });
  const built = join(probe, "target", WASM_TARGET, "release", "deps");
  const libdir = join(staging, "lib", "rustlib", WASM_TARGET, "lib");
  mkdirSync(libdir, { recursive: true });
  for (const file of readdirSync(built)) {
    if (file.endsWith(".rlib") && !file.startsWith("libprobe-")) copyFileSync(join(built, file), join(libdir, file));
  }
  rmSync(probe, { recursive: true });
}

function linkHostLibraries(staging) {
  const debian = "/usr/lib/rustlib";
  for (const entry of readdirSync(debian)) {
    if (entry !== WASM_TARGET) symlinkSync(join(debian, entry), join(staging, "lib", "rustlib", entry));
  }
}

function writeWrappers(staging, sysroot) {
  const bin = join(staging, "bin");
  mkdirSync(bin);
  const wrapper = (name, line) => writeFileSync(join(bin, name), `#!/bin/sh\n${line}\n`, { mode: 0o755 });
  wrapper("rustc", `exec ${DEBIAN_RUSTC} --sysroot '${sysroot}' "$@"`);
  wrapper("rustdoc", `exec /usr/bin/rustdoc --sysroot '${sysroot}' "$@"`);
  // clippy-driver is not called through the rustc wrapper; it takes its sysroot from SYSROOT.
  wrapper("cargo-clippy", `SYSROOT='${sysroot}' exec /usr/bin/cargo-clippy "$@"`);
  symlinkSync(DEBIAN_CARGO, join(bin, "cargo"));
}

function sysrootEnv(sysroot) {
  const env = { ...process.env, PATH: join(sysroot, "bin") + delimiter + process.env.PATH };
  // rustup's proxies leave these to the processes they start; they would lead back to rustup's Rust.
  for (const name of ["RUSTUP_TOOLCHAIN", "RUSTC", "CARGO"]) delete env[name];
  return env;
}

// --- Tools that cargo installs ---

async function ensureCargoTool(name, crate, version, flags) {
  const root = join(TOOLS, `${name}-${version}`);
  const program = join(root, "bin", name);
  if (existsSync(program)) return program;
  await runStep(`Installing ${crate} ${version} (about a minute)`, "cargo", ["install", crate, "--version", version, "--debug", "--root", root, ...flags], {
    log: `install-${name}`,
    env: {
      ...process.env,
      CARGO_TARGET_DIR: join(TOOLS, "cargo-install-target"),
      // Nobody debugs these; without debug information they link in half the time.
      CARGO_PROFILE_DEV_DEBUG: "0",
    },
    advice: "crates.io must be reachable, and a C compiler (`cc`) and OpenSSL's headers must be installed.",
  });
  return program;
}

async function main() {
  const { wasmEnv, wasmBindgen, workerBuild } = await ensureToolchain();
  if (process.argv[2] !== "env") return;
  say(`export PATH='${[dirname(wasmBindgen), dirname(workerBuild), wasmEnv.PATH].join(delimiter)}'`);
  if (wasmEnv !== process.env) say("unset RUSTUP_TOOLCHAIN RUSTC CARGO");
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await main().catch(exitWith);
