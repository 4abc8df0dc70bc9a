// The project that `npm start` offers: its credentials, and the origins its pages are served from.

import { StepFailure } from "./step.mjs";
import { DEFAULT_PORT } from "./workspace.mjs";

const DEMO_PROJECT = "prj_demo";
/** Dev servers of Vite and of most frameworks: a first integration tried there just works. */
const DEV_SERVER_PORTS = [5173, 3000];
/** The worker's own limit for a project: after many ports, the oldest give way. */
const ORIGINS_MAX = 32;

/**
 * The demo project's credentials: made on the first start, known from then on.
 * @param {string} url
 * @param {number} port
 * @param {string} operatorKey
 * @param {ReturnType<typeof import("./local-state.mjs").localState>} state
 */
export async function ensureDemoProject(url, port, operatorKey, state) {
  const known = state.readProject();
  if (known) {
    await allowOrigins(url, port, operatorKey, known);
    return known;
  }
  const project = await createProject(url, port, operatorKey, state.persist);
  state.writeProject(project);
  return project;
}

async function createProject(url, port, operatorKey, persist) {
  const response = await fetch(`${url}/v1/projects`, {
    method: "POST",
    headers: { authorization: `Bearer ${operatorKey}`, "content-type": "application/json" },
    body: JSON.stringify({ id: DEMO_PROJECT, name: "Demo", origins: localOrigins(port) }),
  });
  if (response.status === 409) {
    throw new StepFailure(`The store in ${persist} has a demo project, but its keys are lost (project.json is missing there).\n\nWhat to do: put that file back, or start with an empty store: \`npm start -- --persist NEW_DIR\`.`);
  }
  const text = await response.text();
  if (response.status !== 201) throw new StepFailure(`The demo project could not be created: status ${response.status}\n${text}`);
  const { project, kid, project_secret, keys } = JSON.parse(text);
  return { project: project.id, kid, project_secret, viewer_key: keys.viewer, admin_key: keys.admin, publishable_key: project.publishable_key };
}

/** A start on another port serves the playground from origins that the project may not know yet. */
async function allowOrigins(url, port, operatorKey, { project, viewer_key }) {
  const { origins } = await callWorker(`${url}/v1/project`, { headers: { authorization: `Bearer ${viewer_key}` } });
  const wanted = new Set([...origins, ...pageOrigins(port)]);
  if (wanted.size === origins.length) return;
  await callWorker(`${url}/v1/projects/${project}`, {
    method: "PATCH",
    headers: { authorization: `Bearer ${operatorKey}`, "content-type": "application/json" },
    body: JSON.stringify({ origins: [...wanted].slice(-ORIGINS_MAX) }),
  });
}

async function callWorker(url, request) {
  const response = await fetch(url, request);
  const text = await response.text();
  if (!response.ok) throw new StepFailure(`${request.method ?? "GET"} ${url} answered with status ${response.status}:\n${text}`);
  return JSON.parse(text);
}

function localOrigins(port) {
  const ports = new Set([port, DEFAULT_PORT, ...DEV_SERVER_PORTS]);
  return [...ports].flatMap(pageOrigins);
}

const pageOrigins = (port) => [`http://127.0.0.1:${port}`, `http://localhost:${port}`];
