/** What stands in the place of recorded values (protocol/SPEC.md, "Body"), in words. Pure. */

import { bytes } from "./format.ts";

const START_MAX = 60;

/** What a marker says; null of everything else. */
export function markerText(value: unknown): string | null {
  if (!isObject(value)) return null;
  const [[name, about] = [], ...others] = Object.entries(value);
  if (name === undefined || (others.length > 0 && name !== "$bad")) return null;
  const fields = isObject(about) ? about : {};
  switch (name) {
    case "$redacted":
      return ["redacted", text(fields["kind"]), text(fields["mark"])].filter(Boolean).join(" ");
    case "$cut": {
      const start = text(fields["start"]);
      return `shortened, ${size(fields["bytes"])}${start && `: ${start.slice(0, START_MAX)}…`}`;
    }
    case "$blob":
      return ["file", text(fields["type"]), size(fields["bytes"])].filter(Boolean).join(", ");
    case "$bad":
      return `not recorded: ${text(about).replaceAll("_", " ")}${text(value["value"]) && ` ${text(value["value"])}`}`;
    case "$missing":
      return typeof fields["message"] === "number" ? `message ${fields["message"]} is not stored` : null;
    default:
      return null;
  }
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function size(value: unknown): string {
  return typeof value === "number" ? bytes(value) : "";
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
