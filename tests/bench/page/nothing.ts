import { drive } from "./driver.ts";

/** What the measuring itself costs. */
drive({
  async start() {},
  begin: () => ({ step() {}, end() {} }),
  async flush() {},
});
