// Verifying an export of the log against signed checkpoints (SPEC.md, "Transparency log"): C2SP signed notes, RFC 6962 trees; or
// one of executions by its attestations ("Exports and imports").

import { createHash, createPublicKey, verify } from "node:crypto";
import { createInterface } from "node:readline";
import { gunzipSync } from "node:zlib";

const ED25519 = 1;
/** What stands before an Ed25519 public key in SubjectPublicKeyInfo (RFC 8410). */
const SPKI_PREFIX = Buffer.from("302a300506032b6570032100", "hex");
/** Faults that are listed; beyond, an export is wrong enough. */
const FAULTS_MAX = 100;
const INFLATED_MAX = 8_000_000;

const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest();

/**
 * @param {NodeJS.ReadableStream} input the export's lines
 * @param {{ name: string, text: string }[]} notes checkpoints that somebody kept
 * @param {string} verifierKey `<name>+<id>+<base64>`
 */
export async function verifyExport(input, notes, verifierKey) {
  const key = readVerifierKey(verifierKey);
  const log = new Log(key, notes.map(({ name, text }) => ({ name, ...openNote(text, key) })));
  for await (const line of createInterface({ input, crlfDelay: Infinity })) {
    if (line !== "" && log.faults.length < FAULTS_MAX) log.take(line);
  }
  return log.finish();
}

/** The key of a C2SP signed note's verifier. */
export function readVerifierKey(text) {
  const [name, id, encoded, ...rest] = text.split("+");
  // Base64 may itself hold a plus.
  const bytes = Buffer.from([encoded, ...rest].join("+"), "base64");
  if (!name || bytes.length !== 33 || bytes[0] !== ED25519) throw new Error("this is no Ed25519 verifier key");
  if (sha256(name, "\n", bytes).subarray(0, 4).toString("hex") !== id) throw new Error("the verifier key's id does not fit it: it was mistyped or altered");
  return { name, id, publicKey: createPublicKey({ key: Buffer.concat([SPKI_PREFIX, bytes.subarray(1)]), format: "der", type: "spki" }) };
}

/** The checkpoint of a note, or why it does not hold. */
export function openNote(note, key) {
  const end = note.indexOf("\n\n");
  const [text, signatures] = [note.slice(0, end + 1), note.slice(end + 2)];
  const signature = end < 0 ? undefined : signatures.split("\n")
    .map((line) => /^\u2014 (\S+) (\S+)$/.exec(line))
    .filter((match) => match?.[1] === key.name)
    .map((match) => Buffer.from(match[2], "base64"))
    .find((bytes) => bytes.length === 68 && bytes.subarray(0, 4).toString("hex") === key.id);
  if (signature === undefined) return { fault: "is not signed by this key" };
  if (!verify(null, Buffer.from(text), key.publicKey, signature.subarray(4))) return { fault: "has a wrong signature" };
  const [origin, size, root] = text.split("\n");
  if (origin !== key.name || !/^(0|[1-9]\d*)$/.test(size)) return { fault: "is no checkpoint of this log" };
  return { size: Number(size), root: Buffer.from(root, "base64") };
}

/** A log as it is read: its tree, its batches, what was deleted. */
class Log {
  faults = [];
  batches = 0;
  #key;
  #project;
  #kept;
  #peaks = [];
  #size = 0;
  /** Executions whose content is gone, by the number of the last such entry. */
  #gone = new Map();
  #deletions = new Map();
  #deleted = 0;
  /** Of an export without a checkpoint: each line stands for itself. */
  #attested = false;

  constructor(key, kept) {
    this.#key = key;
    this.#project = key.name.replace(/^stepseal\//, "");
    this.#kept = kept;
    for (const { name, fault } of kept) if (fault !== undefined) this.#blame(`checkpoint ${name} ${fault}`);
    this.#compareRoots();
  }

  take(line) {
    let entry;
    try {
      entry = JSON.parse(line);
    } catch {
      return this.#blame(`entry ${this.#size}: its line is no JSON`);
    }
    if (entry.t === "export") return this.#takeHead(entry);
    if (this.#attested) return this.#takeAttested(entry);
    if (entry.i !== this.#size) return this.#blame(`entry ${this.#size} is missing: entry ${entry.i} stands in its place`);
    const data = this.#dataOf(entry);
    if (data === undefined) return this.#blame(`entry ${entry.i}: there is no kind ${entry.t}`);
    this.#append(sha256(Buffer.of(0), data));
    this.#compareRoots();
  }

  finish() {
    if (this.#attested) return { batches: this.batches, deleted: 0, size: 0, faults: this.faults, attested: true };
    for (const { name, size } of this.#kept) {
      if (size > this.#size) this.#blame(`checkpoint ${name} covers ${size} entries; the export has ${this.#size}`);
    }
    const covered = Math.max(0, ...this.#kept.map(({ size = 0 }) => size));
    if (this.#size > covered) this.#blame(`entries ${covered} to ${this.#size - 1} are beyond every checkpoint`);
    for (const [execution, entry] of this.#gone) {
      if (!((this.#deletions.get(execution) ?? -1) > entry)) this.#blame(`entry ${entry}: the batch is not in the export, and no deletion of ${execution} is in the log`);
    }
    return { batches: this.batches, deleted: this.#deleted, size: this.#size, faults: this.faults, attested: false };
  }

  /** The export brings the checkpoint it was made for: signed by the same key, it counts like a kept one. */
  #takeHead({ project, checkpoint }) {
    if (project !== this.#project) this.#blame(`the export is of project ${project}, the key of ${this.#project}`);
    if (checkpoint === undefined) {
      this.#attested = true;
      return;
    }
    const opened = openNote(String(checkpoint), this.#key);
    if (opened.fault !== undefined) return this.#blame(`the export's own checkpoint ${opened.fault}`);
    this.#kept.push({ name: "of the export", ...opened });
    this.#compareRoots();
  }

  #takeAttested(entry) {
    const { t, x, w, k, sha256: digest, received_at, provenance, subject, envelope, attestation, key } = entry;
    const named = `batch ${k} of ${x}${w ? `, writer ${w}` : ""}`;
    if (t !== "batch") return this.#blame(`there is no kind ${t} in an export of executions`);
    this.batches += 1;
    if (key !== undefined) return this.#blame(`${named} is attested by ${key}, the log that it was imported from, not by ${this.#key.name}`);
    const body = this.#bodyOf({ ...entry, i: this.batches });
    if (body !== undefined && sha256(body).toString("hex") !== digest) this.#blame(`${named}: the body is not the one that was stored`);
    const content = sha256(Buffer.from(String(digest), "hex"), sha256(String(envelope))).toString("hex");
    const text = ["stepseal/export/v1", this.#project, x, w, k, content, received_at, provenance, subject].map((part) => `${part}\n`).join("");
    if (!verify(null, Buffer.from(text), this.#key.publicKey, Buffer.from(String(attestation), "base64url"))) this.#blame(`${named}: the log did not attest this line`);
  }

  #dataOf(entry) {
    const { t, i, x, w, k } = entry;
    if (t === "deletion") {
      this.#deletions.set(x, i);
      return `stepseal/leaf/v1\0deletion\0${this.#project}\0${x}`;
    }
    if (t === "gone") {
      this.#gone.set(x, i);
      this.#deleted += 1;
      return this.#batchData(x, w, k, entry.content);
    }
    if (t !== "batch") return undefined;
    this.batches += 1;
    const body = this.#bodyOf(entry);
    const digest = body === undefined ? Buffer.alloc(32) : sha256(body);
    if (body !== undefined && digest.toString("hex") !== entry.sha256) this.#blame(`entry ${i}: the body of batch ${k} of ${x} is not the one that was stored`);
    return this.#batchData(x, w, k, sha256(digest, sha256(String(entry.envelope))).toString("hex"));
  }

  #batchData = (x, w, k, content) => `stepseal/leaf/v1\0batch\0${this.#project}\0${x}\0${w}\0${k}\0${content}`;

  /** The batch's NDJSON; its body is as it was sent, perhaps compressed. */
  #bodyOf({ i, x, k, body }) {
    if (typeof body !== "string") return this.#blame(`entry ${i}: batch ${k} of ${x} has no body`);
    const bytes = Buffer.from(body, "base64");
    if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
    try {
      return gunzipSync(bytes, { maxOutputLength: INFLATED_MAX });
    } catch {
      return this.#blame(`entry ${i}: batch ${k} of ${x} cannot be decompressed`);
    }
  }

  #append(leaf) {
    let subtree = leaf;
    for (let size = this.#size; size % 2 === 1; size = (size - 1) / 2) subtree = sha256(Buffer.of(1), this.#peaks.pop(), subtree);
    this.#peaks.push(subtree);
    this.#size += 1;
  }

  #compareRoots() {
    for (const { name, size, root } of this.#kept) {
      if (size === this.#size && !root.equals(this.#root())) this.#blame(`the first ${size} entries are not those that checkpoint ${name} covers`);
    }
  }

  #root() {
    if (this.#peaks.length === 0) return sha256();
    return this.#peaks.reduceRight((right, left) => sha256(Buffer.of(1), left, right));
  }

  #blame(fault) {
    this.faults.push(fault);
    return undefined;
  }
}
