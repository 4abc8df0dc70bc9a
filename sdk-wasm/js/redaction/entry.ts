export { rules } from "./rules.js";
export type { RedactableEvent, RedactionKind, RedactionOptions, RedactionRules } from "../types.js";
