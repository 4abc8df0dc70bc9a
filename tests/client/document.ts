// Replies against the OpenAPI document: whatever a test asks, a reply that the document does not describe fails it.

import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";

type Operation = { responses: Record<string, { content?: Record<string, { schema: object }> }> };

/** The document, which is the same for every worker of a run, and what was compiled of it. */
let document: Promise<Document> | undefined;

class Document {
  #paths: [RegExp, string, Record<string, Operation>][];
  #ajv = new Ajv2020({ strict: false, allErrors: true, validateFormats: false });
  #compiled = new Map<string, ValidateFunction>();

  constructor(json: any) {
    this.#ajv.addSchema(json, "document");
    // What has no names in it stands first: it is meant where both fit.
    const paths = Object.entries<any>(json.paths).sort(([one], [other]) => Number(one.includes("{")) - Number(other.includes("{")));
    this.#paths = paths.map(([path, item]) => [new RegExp(`^${path.replaceAll(".", "\\.").replace(/\{\w+\}/g, "[^/]+")}$`), path, item]);
  }

  check(method: string, path: string, status: number, media: string, json: unknown): void {
    const found = this.#paths.find(([pattern]) => pattern.test(path));
    const operation = found?.[2][method.toLowerCase()];
    // What is no route is for the tests of that.
    if (!found || !operation) return;
    const where = `${method} ${found[1]} ${status}`;
    const response = operation.responses[status];
    if (!response) throw new Error(`${where}: the document names no such status`);
    if (!response.content?.[media]) throw new Error(`${where}: the document names no ${media}`);
    if (!media.endsWith("json")) return;
    const validate = this.#validator(["paths", found[1], method.toLowerCase(), "responses", String(status), "content", media, "schema"]);
    if (!validate(json)) throw new Error(`${where}: ${this.#ajv.errorsText(validate.errors)} in ${JSON.stringify(json).slice(0, 2_000)}`);
  }

  #validator(place: string[]): ValidateFunction {
    const pointer = place.map((part) => encodeURIComponent(part.replaceAll("~", "~0").replaceAll("/", "~1"))).join("/");
    const known = this.#compiled.get(pointer);
    if (known) return known;
    const compiled = this.#ajv.compile({ $ref: `document#/${pointer}` });
    this.#compiled.set(pointer, compiled);
    return compiled;
  }
}

async function read(url: string): Promise<Document> {
  const response = await fetch(`${url}/openapi.json`);
  if (response.status !== 200) throw new Error(`GET /openapi.json: ${response.status}`);
  return new Document(await response.json());
}

/** Throws where the document does not describe a reply. */
export async function checkReply(url: string, method: string, path: string, response: Response, json: unknown): Promise<void> {
  document ??= read(url);
  const media = (response.headers.get("content-type") ?? "").split(";")[0]!;
  (await document).check(method, path.split("?")[0]!, response.status, media, json);
}
