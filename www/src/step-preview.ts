/** A few words of what a step did, for its closed line: enough to find it among its likes. Pure. */

import type { Step } from "./api.ts";
import { markerText } from "./markers.ts";

const MAX_CHARS = 160;
const MAX_FIELDS = 4;

export function stepPreview(step: Step): string {
  const words = fromError(step.error) ?? (step.kind === "tool" ? fromArguments(step.input) : null) ?? fromOutput(step.output) ?? "";
  const line = words.slice(0, MAX_CHARS * 2).replace(/\s+/g, " ").trim();
  return line.length > MAX_CHARS ? `${line.slice(0, MAX_CHARS)}…` : line;
}

function fromError(error: unknown): string | null {
  if (typeof error === "string" && error !== "") return error;
  return isObject(error) && typeof error["message"] === "string" && error["message"] !== "" ? error["message"] : null;
}

/** A chat message: what it says, else whom it calls. */
function fromOutput(output: unknown): string | null {
  if (typeof output === "string") return output;
  if (!isObject(output)) return null;
  if (typeof output["content"] === "string" && output["content"] !== "") return output["content"];
  const calls = Array.isArray(output["tool_calls"]) ? (output["tool_calls"] as unknown[]) : [];
  const names = calls.slice(0, MAX_FIELDS).flatMap((call) => {
    const body = isObject(call) && isObject(call["function"]) ? call["function"] : null;
    return typeof body?.["name"] === "string" ? [body["name"]] : [];
  });
  return names.length > 0 ? `→ ${names.join(", ")}` : null;
}

function fromArguments(input: unknown): string | null {
  if (typeof input === "string") return input;
  if (!isObject(input)) return null;
  const words = markerText(input);
  if (words !== null) return words;
  const fields = Object.entries(input).slice(0, MAX_FIELDS).map(([name, value]) => `${name}: ${short(value)}`);
  return fields.length > 0 ? fields.join(", ") : null;
}

/** Of a value, what can be said without walking it. */
function short(value: unknown): string {
  if (typeof value === "string") return value.slice(0, MAX_CHARS);
  if (Array.isArray(value)) return value.length === 0 ? "[]" : "[…]";
  return markerText(value) ?? (typeof value === "object" && value !== null ? "{…}" : String(value));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
