// The entry `stepseal/redaction`.

import type { RedactionOptions, RedactionRules } from "../types.js";
import { Rules } from "./rules.js";

export type { RedactableEvent, RedactionKind, RedactionOptions, RedactionRules } from "../types.js";

/**
 * What must not leave the page, for `Recorder.start({ redaction })`.
 * @throws TypeError naming what cannot be read
 */
export function rules(options: RedactionOptions): RedactionRules {
  return new Rules(options);
}
