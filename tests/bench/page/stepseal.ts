import { Recorder, type Session } from "../../../sdk-wasm/pkg/index.js";
import { drive } from "./driver.ts";

let recorder: Recorder;

drive({
  async start(endpoint, session) {
    recorder = await Recorder.start({ endpoint, session: session as Session });
  },
  begin(name) {
    const run = recorder.startExecution({ name });
    return { step: (step) => void run.recordStep(step), end: () => run.complete() };
  },
  flush: () => recorder.flush(),
});
