// Finds secrets in JSON text: keys and tokens of known issuers, private keys, JSON Web Tokens, what stands behind a name
// such as `password`, e-mail addresses, card numbers.
//
// It runs on the text that JSON.stringify has written, because one pass over a text is faster than one over its values, and
// in the page's own engine, because there it weighs a third of what the same search does in WebAssembly. Every pattern
// either has bounds or passes what it has read, so the time is linear in the text.
//
// Prefixes, alphabets and lengths are those that the issuers document or that gitleaks' rules (version 8) list. Lengths are
// lower bounds: a longer secret goes as a whole, and what is much shorter is a placeholder.

import type { RedactionKind } from "../types.js";

/** A part of a text that is to go. */
export interface Hit {
  start: number;
  end: number;
  kind: string;
}

/**
 * Keys whose prefix ends in a sign: the sign is behind us. They are looked for from it on, because text has few that so many letters
 * and digits follow; at each word's beginning they would take four times as long.
 */
const SIGNED = [
  // Shopify, Mailgun, DigitalOcean.
  "(?<=\\b(shp(?:at|[cp]a|ss)_|key-|do[opr]_v1_))[\\da-fA-F]{32,}",
  // Stripe, Razorpay; OpenAI and many that copy it; Fireworks, Vercel.
  "(?<=\\b((?:[rs]k|rzp)_(?:live|test)_|sk-|fw_|vc[kp]_))[\\dA-Za-z]{16,}",
  // GitHub, npm, Hugging Face, Groq, Replicate, xAI, Perplexity, Cerebras, Linear, New Relic, Netlify, Notion.
  "(?<=\\b(gh[oprsu]_|npm_|hf_|gsk_|r8_|xai-|pplx-|csk-|lin_api_|NRAK-|nfp_|ntn_))[\\dA-Za-z]{27,}",
  // Slack; OpenAI, Anthropic, OpenRouter, Langfuse; LangSmith, NVIDIA, Tavily; GitHub's fine-grained tokens, GitLab, Docker;
  // Google, Square, Vault, Supabase, Heroku; Stepseal.
  "(?<=\\b(xox(?:[abprs]-|e\\.)|xapp-|sk-(?:proj|svcacct|admin|ant|or|lf)-|lsv2_(?:pt|sk)_|nvapi-|tvly-|github_pat_|gl(?:pa|d|r|pt|cb)t-|dckr_pat_|GOCSPX-|sq0(?:at|cs)p-|hv[bs]\\.|sb_secret_|HRKU-|stepseal_))[\\w-]{20,}",
  // Standard Webhooks (Stepseal, Stripe), Braintree, Google; Slack's, Discord's and Teams' webhooks; Fly, SendGrid; Azure's
  // shared access signatures.
  "(?<=\\b(whsec_|access_token\\$|ya29\\.|hooks\\.slack\\.com/|discord\\.com/api/webhooks/|webhook\\.office\\.com/|fm2_|SG\\.|sig=))[\\w.~+/=$%-]{24,}",
];
/** Keys whose prefix ends in a letter or digit. */
const LETTERED = [
  // AWS.
  "A(?:[BKS]I|CC)A[\\dA-Z]{16,}",
  // Databricks, Twilio.
  "(?:dapi|SK|AC)[\\da-fA-F]{32,}",
  // Alibaba.
  "LTAI[\\dA-Za-z]{16,}",
  // PyPI; Google, Square, Bitbucket and Atlassian.
  "(?:pypi-AgE|AIza|EAAA|ATBB|ATATT3)[\\w-]{20,}",
  // Amazon Bedrock.
  "ABSK[\\w.~+/=$%-]{24,}",
];

/** The ends of names whose values are secret; the first two are headers, whose values have spaces. Then a letter that they all may end in. */
const NAMES =
  "(?:(authorization|cookie)|pass(?:word|wd|phrase|code)|pwd|secret(?:[_-]?key)?|(?:api|access|private|account|signing|encryption)[_-]?key|(?:access|refresh|auth|id|session|api)[_-]?token|credentials?|connection[_-]?string)(?<=[degnlsty])";

/** A JSON text that is searched. */
interface Searched {
  json: string;
  /** The same with what is no word's blanked: escapes that end in a letter or digit. */
  scan: string;
  /** Where the string ends in which `at` lies. */
  endOfString(at: number): number;
}

/** Gives the place of what was found, or nothing if it is none after all. */
type Place = (match: RegExpExecArray, text: Searched) => [start: number, end: number] | undefined;
type Detector = [kind: RedactionKind, pattern: RegExp, place: Place];

/** A key from its prefix on, whose last sign begins the match if it is a group; without the point at a sentence's end. */
const key: Place = (match) => {
  const { index, 0: text } = match;
  const before = match.slice(1).join("").length;
  return [index + (before && 1 - before), index + text.length - Number(text.endsWith("."))];
};

/** Between a user's name and the host. */
const password: Place = ({ index, 0: text, 1: part }) => [index + text.length - part!.length, index + text.length];

/** Made when they are first needed: importing has no effects. */
let detectors: Detector[] | undefined;

const makeDetectors = (): Detector[] => [
  ["private_key", /-----BEGIN [A-Z\d ]{0,40}PRIVATE KEY/g, privateKey],
  ["jwt", /\beyJ[\w-]{14,}/g, jwt],
  ["authorization", /\b(bearer|basic|token) +([\w.~+/=$%-]{8,})/gi, header],
  ["api_key", oneOf("[-_.$/=](?=[\\w.~+/=$%-]{16})", SIGNED), key],
  ["api_key", oneOf("\\b", LETTERED), key],
  // A chat bot's: 8 to 10 digits, a colon and 35 more (Telegram), or its number in base64 and two parts more (Discord).
  ["api_key", /:AA(?<=\b(\d{8,10}:)AA)[\w-]{33,}|\.(?<=\b([\dA-Za-z]{23,28}\.))[\w-]{6}\.[\w-]{27,}/g, key],
  ["connection_string", /:\/\/[^\s/"'`<>:@\\]*:([^\s/"'`<>\\]+)(?=@)/g, password],
  // From the sign back, for the same reason.
  ["secret", new RegExp(`[:=](?<=${NAMES}["'\`\\\\ ]{0,4}.)`, "gi"), named],
  ["email", /(?:@|%40)(?:[\w\u0080-\uffff-]+\.)+[\w\u0080-\uffff-]{2,}/g, email],
  ["card", /[2-6](?<!\w.)\d{3}(?:([ -])\d{4}\1\d{4}\1\d{4}(?:\1\d{3})?|([ -])\d{6}\2\d{4,5}|\d{9,15})\b/g, card],
];

/** One of the keys, as a whole. */
const oneOf = (before: string, keys: string[]): RegExp => new RegExp(`${before}(?:${keys.join("|")})(?![\\dA-Za-z])`, "g");

/** Everything in `json`, but what is of a kind that is turned off, in order; what lies within another comes after it. */
export function findSecrets(json: string, kinds: Partial<Record<RedactionKind, boolean>> = {}): Hit[] {
  const text = searched(json);
  const hits: Hit[] = [];
  for (const [kind, pattern, place] of (detectors ??= makeDetectors())) {
    pattern.lastIndex = 0;
    for (let match; (match = pattern.exec(text.scan)); ) {
      const found = place(match, text);
      if (!found) continue;
      const [start, end] = found;
      const of = kind === "secret" && match[1] ? "authorization" : kind;
      if (kinds[of] !== false) hits.push({ start, end, kind: of });
      pattern.lastIndex = Math.max(pattern.lastIndex, end);
    }
  }
  return hits.sort((a, b) => a.start - b.start || b.end - a.end);
}

function searched(json: string): Searched {
  // Kept, because a long string may be asked about at many places.
  let [from, to] = [0, -1];
  const endOfString = (at: number): number => {
    if (at < from || at > to) [from, to] = [at, at + matchAt(/(?:[^"\\]|\\.)*/y, json, at)[0]!.length];
    return to;
  };
  // Letters of an escape begin no word, in JSON nor in a URL. Every place stays. Most texts have neither.
  let scan = json;
  if (scan.includes("\\")) scan = scan.replace(/\\[bfnrt]/g, "  ").replace(/\\u[\da-f]{4}/g, "      ");
  if (scan.includes("%")) scan = scan.replace(/%(?!40)[\dA-Fa-f]{2}/g, "   ");
  return { json, scan, endOfString };
}

/** In PEM (RFC 7468): up to its end or, where that is missing, to the end of the string. */
const privateKey: Place = ({ index }, { json, endOfString }) => {
  const last = endOfString(index);
  const rest = matchAt(/[^]*?-----END[^]*?-----|/y, json.slice(index, last), 0)[0]!;
  return [index, rest ? index + rest.length : last];
};

/** Three parts or five in base64url with dots between them, of which some may be empty (RFC 7515, RFC 7516). */
const jwt: Place = ({ index, 0: { length } }, { scan }) => {
  const rest = matchAt(/(?:(?:\.[\w-]*){2,4})?/y, scan, index + length)[0]!;
  return rest ? [index, index + length + rest.length] : undefined;
};

/** "Basic Economy/Business" is no header. */
const header: Place = ({ index, 0: text, 1: scheme, 2: value }) => {
  const min = /^be/i.test(scheme!) ? 12 : /^to/i.test(scheme!) ? 20 : 8;
  const isProse = value!.slice(1).replace(/[^\dA-Z]/g, "").length < 3 && !value!.endsWith("=");
  const end = index + text.length;
  return value!.length < min || isProse ? undefined : [end - value!.length, end];
};

/** An address around its sign. */
const email: Place = ({ index, 0: text }, { scan }) => {
  // RFC 5321, section 4.5.3.1.1: a local part has at most 64 characters.
  const [local] = /[\w.%+\u0080-\uffff-]+$/.exec(scan.slice(Math.max(0, index - 64), index)) ?? [];
  return !local || /\.\d[^.]*$/.test(text) ? undefined : [index - local.length, index + text.length];
};

/** ISO/IEC 7812: issued by a known network in this length, and with the right check digit. */
const card: Place = ({ index, 0: text }, { scan }) => {
  // Not the decimals of a number, nor the middle of a longer one.
  if (/\d[.-]$/.test(scan.slice(Math.max(0, index - 2), index))) return undefined;
  const digits = text.replace(/\D/g, "");
  // Visa; Mastercard and JCB; American Express; Diners Club; Discover, Maestro, RuPay and UnionPay.
  if (!/^(?:4(?:.{12}|.{15}|.{18})|(?:2[2-7]|5[1-5]|35).{14}|3[47].{13}|3[0689].{12}|(?:50|5[6-9]|6).{14,17})$/.test(digits)) return undefined;
  let sum = 0;
  for (let at = 0; at < digits.length; at++) {
    const doubled = Number(digits[digits.length - 1 - at]) * (1 + (at & 1));
    sum += doubled > 9 ? doubled - 9 : doubled;
  }
  return sum % 10 ? undefined : [index, index + text.length];
};

/** The value behind a secret's name. */
const named: Place = ({ index, 0: text, 1: isHeader }, searched) => {
  const { json } = searched;
  const sign = index + text.length;
  const [before, slashes, quote] = matchAt(/[ >]*(?:(\\*)(["'`]))?/y, json, sign);
  const start = sign + before!.length;
  const isKey = json[sign - 2] === '"' && (sign - withoutBackslashes(json, sign - 2)) % 2 === 0;
  // A string that ends here has no value, but a member whose name this is.
  if (quote) return isKey || quote !== '"' || slashes!.length % 2 ? quoted(searched, start, quote, slashes!.length) : undefined;
  if (isKey) {
    // A number goes; what is true or null tells nothing, and what is inside a list or object is looked at for itself.
    const [number] = matchAt(/(?:-?\d[\d.eE+-]*)?/y, json, start);
    return number ? [start, start + number.length] : undefined;
  }
  // Behind a space it may be prose, which has no digits.
  const value = isHeader ? /[^"'`\\<>]*/y : /[^"'`\\<> &;]*/y;
  const isEvident = start === sign && !isHeader;
  const first = matchAt(value, json.slice(start, start + PROSE_MAX), 0)[0]!;
  if (!first || json.startsWith(MARK_BEGIN, start) || !isEvident && !(isHeader ? /[\d=]/ : /\d/).test(first)) return undefined;
  return [start, start + matchAt(value, json, start)[0]!.length];
};

const MARK_BEGIN = "[redacted ";
/** So far a value without quotes is searched for what a credential has and prose has not. */
const PROSE_MAX = 256;

/** Up to the quote that has as many backslashes before it as the first, for one with more stands inside, or the string's end. */
function quoted({ json, endOfString }: Searched, start: number, quote: string, slashes: number): [number, number] | undefined {
  const last = endOfString(start);
  let end = start - 1;
  do end = json.indexOf(quote, end + 1);
  while (end >= 0 && end < last && end - withoutBackslashes(json, end) > slashes);
  end = end < 0 || end >= last ? last : withoutBackslashes(json, end);
  return end <= start || json.startsWith(MARK_BEGIN, start) ? undefined : [start, end];
}

function withoutBackslashes(json: string, end: number): number {
  while (json[end - 1] === "\\") end--;
  return end;
}

function matchAt(pattern: RegExp, text: string, at: number): string[] {
  pattern.lastIndex = at;
  return [...pattern.exec(text)!];
}
