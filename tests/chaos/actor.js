// What records, in a page or in a service worker, and tells the conductor what it has done. Plain JavaScript, served as it is.

/** A name that no other step of the seed has, as the store's bytes have it. */
const STEP_NAME = /"name":"(s\.\w+\.\d+)"/g;

/**
 * Tells of every step that the browser's store has confirmed: what is told must survive the death of this process.
 * @param {(names: string[]) => void} confirmed
 */
function watchStore(confirmed) {
  const written = new WeakMap();
  const { put } = IDBObjectStore.prototype;
  IDBObjectStore.prototype.put = function (value, key) {
    const { transaction } = this;
    if (value instanceof Uint8Array) {
      const names = [...new TextDecoder().decode(value).matchAll(STEP_NAME)].map(([, name]) => name);
      if (!written.has(transaction)) {
        const all = [];
        written.set(transaction, all);
        transaction.addEventListener("complete", () => confirmed(all));
      }
      written.get(transaction).push(...names);
    }
    return put.call(this, value, key);
  };
}

/** Makes the function that carries out what the conductor asks for. */
export function createActor(Recorder, report) {
  const instance = Math.random().toString(36).slice(2, 10);
  const runs = new Map();
  let recorder;
  let count = 0;
  let lastTold = "";
  watchStore((names) => report({ instance, confirmed: names }));

  function tell() {
    const { dropped, reasons, storage } = recorder.status;
    const told = { instance, dropped, reasons, storage };
    if (JSON.stringify(told) !== lastTold) report(told);
    lastTold = JSON.stringify(told);
  }

  async function start({ endpoint, session }) {
    recorder = await Recorder.start({ endpoint, session, batch: { max_wait_ms: 300 } });
    recorder.addEventListener("statuschange", tell);
    tell();
    return { instance };
  }

  function run(slot) {
    if (!runs.has(slot)) runs.set(slot, recorder.startExecution({ name: "chaos" }));
    return runs.get(slot);
  }

  /** All of it in one task: what this gives is what was recorded. */
  function record({ slot, steps, bytes }) {
    const execution = run(slot);
    const names = [];
    for (let index = 0; index < steps; index++) {
      const name = `s.${instance}.${count++}`;
      // Of nothing that repeats or compresses, like pictures.
      const text = Array.from({ length: Math.ceil(bytes / 10) }, () => Math.random().toString(36).slice(2, 12)).join("");
      execution.recordStep({ kind: "tool", name, input: { messages: [{ role: "user", content: text }] }, output: index });
      names.push(name);
    }
    report({ instance, execution: execution.id, recorded: names });
    return { instance, execution: execution.id, names };
  }

  const acts = {
    start,
    record,
    begin({ slot }) {
      run(slot).startStep({ kind: "llm", name: `unfinished.${instance}.${count++}`, input: "?" });
    },
    end({ slot, failed }) {
      const execution = runs.get(slot);
      if (failed) execution?.fail(new Error("planned"));
      else execution?.complete({ output: "done" });
      runs.delete(slot);
    },
    resume({ slot, execution }) {
      runs.set(slot, recorder.resume(execution));
    },
    async close({ timeout_ms }) {
      for (const slot of [...runs.keys()]) acts.end({ slot });
      const { pending } = await recorder.close({ timeout_ms });
      tell();
      return { instance, pending, storage: recorder.status.storage };
    },
    status: () => recorder.status,
  };
  return async ({ act, ...details }) => acts[act](details);
}
