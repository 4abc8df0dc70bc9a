// How wrangler is run: with the pinned Node, quiet, and without asking anything or calling home.

import { nodeEnv, packageCommand } from "./dependencies.mjs";

/** The script to give to `findNode()`. */
export const wranglerScript = () => packageCommand("wrangler");

export function wranglerEnv() {
  return {
    ...nodeEnv(),
    CI: "1",
    WRANGLER_SEND_METRICS: "false",
    WRANGLER_SEND_ERROR_REPORTS: "false",
    WRANGLER_HIDE_BANNER: "true",
  };
}

/** For the local runtime, which otherwise fetches a sample of `request.cf` from the network. */
export function localWranglerEnv() {
  return { ...wranglerEnv(), CLOUDFLARE_CF_FETCH_ENABLED: "false" };
}
