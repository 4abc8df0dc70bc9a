import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";

import { answerOf, planSteps, readTranscripts, requestOf } from "../../www/src/transcripts.ts";
import type { Fault, PlannedModelCall, PlannedToolCall, Transcript } from "../../www/src/transcripts.ts";

const AIRLINE_RUNS = new URL("../../../shared/data/airline-runs.ndjson.gz", import.meta.url);

const HELLO = [
  { role: "user", content: "Hello" },
  { role: "assistant", content: "Hi" },
];

function read(text: string, fileName = "runs.jsonl"): { transcripts: Transcript[]; faults: Fault[] } {
  const transcripts: Transcript[] = [];
  const faults: Fault[] = [];
  for (const reading of readTranscripts(text, fileName)) {
    if (reading.kind === "transcript") transcripts.push(reading.transcript);
    else faults.push(reading.fault);
  }
  return { transcripts, faults };
}

function only(text: string, fileName?: string): Transcript {
  const { transcripts, faults } = read(text, fileName);
  assert.deepEqual(faults, []);
  assert.equal(transcripts.length, 1);
  return transcripts[0]!;
}

function call(id: string, name: string, args: unknown) {
  return { id, type: "function", function: { name, arguments: args } };
}

test("an array of messages is one transcript, named after the file", () => {
  const transcript = only(JSON.stringify(HELLO), "support chat.json");
  assert.equal(transcript.name, "support chat #1");
  assert.equal(transcript.agent, null);
  assert.deepEqual(transcript.metadata, {});
  assert.deepEqual(transcript.messages, HELLO);
});

test("an object with messages gives its name, agent and model; the other fields become metadata", () => {
  const text = JSON.stringify({
    name: "Book a flight", agent: "airline", model: "gpt-4o", task_id: 7, reward: 1, messages: HELLO,
  }, null, 2);
  const transcript = only(text);
  assert.equal(transcript.name, "Book a flight");
  assert.equal(transcript.agent, "airline");
  assert.equal(transcript.model, "gpt-4o");
  assert.deepEqual(transcript.metadata, { task_id: 7, reward: 1 });
  assert.equal(planSteps(transcript)[0]!.name, "chat gpt-4o");
});

test("a name that is not text stays metadata", () => {
  const transcript = only(JSON.stringify({ name: 3, agent: { id: 1 }, messages: HELLO }), "a.json");
  assert.equal(transcript.name, "a #1");
  assert.deepEqual(transcript.metadata, { name: 3, agent: { id: 1 } });
});

test("an array of transcripts, and what is none of them, keep their places", () => {
  const { transcripts, faults } = read(JSON.stringify([{ messages: HELLO }, { turns: [] }, HELLO]), "all.json");
  assert.deepEqual(transcripts.map(({ name, place }) => ({ name, place })), [
    { name: "all #1", place: { line: null, item: 1 } },
    { name: "all #3", place: { line: null, item: 3 } },
  ]);
  assert.deepEqual(faults, [{ place: { line: null, item: 2 }, reason: "no messages field" }]);
});

test("JSON Lines: a bad line is named with its number and the rest goes on", () => {
  const good = JSON.stringify({ messages: HELLO });
  const text = [good, "", `{"messages": [`, JSON.stringify(HELLO), "42", `{"messages":"no"}`, good].join("\r\n");
  const { transcripts, faults } = read(text, "runs.ndjson.gz");
  assert.deepEqual(transcripts.map(({ name, place }) => [name, place.line]), [
    ["runs #1", 1], ["runs #3", 4], ["runs #6", 7],
  ]);
  assert.deepEqual(faults.map(({ place }) => place.line), [3, 5, 6]);
  assert.match(faults[0]!.reason, /^not JSON: /);
  assert.equal(faults[1]!.reason, "expected an object with messages, found a number");
  assert.equal(faults[2]!.reason, "messages is a string, not an array");
});

test("JSON Lines whose first line is broken are still read as lines", () => {
  const { transcripts, faults } = read(`{"messages": [{"role":\n${JSON.stringify({ messages: HELLO })}\n`);
  assert.equal(transcripts.length, 1);
  assert.deepEqual(faults.map(({ place }) => place.line), [1]);
});

test("a broken JSON document names the line of the fault, once", () => {
  const { transcripts, faults } = read(`{\n  "messages": [\n    {"role": "user" "content": "x"}\n  ]\n}`);
  assert.deepEqual(transcripts, []);
  assert.equal(faults.length, 1);
  assert.equal(faults[0]!.place.line, 3);
  assert.match(faults[0]!.reason, /^not JSON: /);
  assert.doesNotMatch(faults[0]!.reason, /line \d/);
});

test("a byte order mark and blank lines around are no fault", () => {
  assert.equal(only(`\uFEFF\n\n${JSON.stringify({ messages: HELLO })}\n\n`).messages.length, 2);
});

const REFUSED: [string, unknown, string][] = [
  ["no text", "", "the file is empty"],
  ["no messages", { messages: [] }, "messages is empty"],
  ["a message that is text", { messages: ["Hello"] }, "message 1 is a string, not an object"],
  ["messages of which one is text", [HELLO[0], "Hi"], "message 2 is a string, not an object"],
  ["an empty array", [], "messages is empty"],
  ["a message without a role", { messages: [HELLO[0], { content: "Hi" }] }, "message 2 has no role"],
  ["nothing said by an assistant", { messages: [HELLO[0]] }, "no assistant message, so no step to record"],
  ["calls that are no array", { messages: [{ role: "assistant", tool_calls: {} }] },
    "message 1: tool_calls is an object, not an array"],
  ["a call without a name", { messages: [{ role: "assistant", tool_calls: [{ id: "c", function: {} }] }] },
    "message 1: tool call 1 has no function name"],
];

for (const [what, value, reason] of REFUSED) {
  test(`refused: ${what}`, () => {
    const { transcripts, faults } = read(value === "" ? "" : JSON.stringify(value));
    assert.deepEqual(transcripts, []);
    assert.deepEqual(faults.map((fault) => fault.reason), [reason]);
  });
}

test("one llm step an assistant message, one tool step a call, below the step that asked for it", () => {
  const messages = [
    { role: "system", content: "Be brief." },
    { role: "user", content: "Where is my bag?" },
    { role: "assistant", content: null, tool_calls: [call("c1", "find_user", '{"id":1}'), call("c2", "find_bag", "not json")] },
    { role: "tool", tool_call_id: "c2", content: "Error: no such bag" },
    { role: "tool", tool_call_id: "c1", content: '{"name":"Mia"}' },
    { role: "assistant", content: "It is in Oslo.", reasoning_content: "The bag was found." },
  ];
  const transcript = only(JSON.stringify(messages));
  assert.deepEqual(planSteps(transcript), [
    { kind: "llm", name: "chat", model: null, input: { messages: messages.slice(0, 2) }, output: messages[2], reasoning: null },
    { kind: "tool", name: "find_user", call_id: "c1", parent: 0, input: { id: 1 }, output: '{"name":"Mia"}', answered: true },
    { kind: "tool", name: "find_bag", call_id: "c2", parent: 0, input: "not json", output: "Error: no such bag", answered: true },
    {
      kind: "llm", name: "chat", model: null, input: { messages: messages.slice(0, 5) }, output: messages[5],
      reasoning: "The bag was found.",
    },
  ]);
  assert.equal(requestOf(transcript), "Where is my bag?");
  assert.equal(answerOf(transcript), "It is in Oslo.");
});

test("a repeated call id answers the call that is still open", () => {
  const messages = [
    { role: "assistant", content: null, tool_calls: [call("same", "first", "{}")] },
    { role: "tool", tool_call_id: "same", content: "one" },
    { role: "assistant", content: null, tool_calls: [call("same", "second", "{}")] },
    { role: "tool", tool_call_id: "same", content: "two" },
  ];
  const tools = planSteps(only(JSON.stringify(messages))).filter((step): step is PlannedToolCall => step.kind === "tool");
  assert.deepEqual(tools.map(({ name, output }) => [name, output]), [["first", "one"], ["second", "two"]]);
});

test("a call without a reply says so; a reply without a call is context only", () => {
  const messages = [
    { role: "tool", tool_call_id: "stray", content: "?" },
    { role: "assistant", content: null, tool_calls: [call("c1", "hang_up", "{}")] },
  ];
  const steps = planSteps(only(JSON.stringify(messages)));
  assert.equal(steps.length, 2);
  assert.equal((steps[1] as PlannedToolCall).answered, false);
  assert.deepEqual((steps[0] as PlannedModelCall).input.messages, [messages[0]]);
});

test("the function_call of older models is a tool call, answered by name", () => {
  const messages = [
    { role: "assistant", content: null, function_call: { name: "add", arguments: '{"a":1}' } },
    { role: "function", name: "add", content: "2" },
  ];
  assert.deepEqual(planSteps(only(JSON.stringify(messages)))[1], {
    kind: "tool", name: "add", call_id: null, parent: 0, input: { a: 1 }, output: "2", answered: true,
  });
});

test("100 recorded airline runs", { skip: existsSync(AIRLINE_RUNS) ? false : "airline-runs.ndjson.gz is not beside the repository" }, () => {
  const text = gunzipSync(readFileSync(AIRLINE_RUNS)).toString("utf8");
  const { transcripts, faults } = read(text, "airline-runs.ndjson.gz");
  assert.deepEqual(faults, []);
  assert.equal(transcripts.length, 100);
  assert.equal(transcripts[99]!.name, "airline-runs #100");
  assert.deepEqual(Object.keys(transcripts[0]!.metadata), ["task_id", "trial", "reward"]);
  const steps = transcripts.flatMap(planSteps);
  const tools = steps.filter((step): step is PlannedToolCall => step.kind === "tool");
  assert.equal(steps.length - tools.length, 1229);
  assert.equal(tools.length, 572);
  assert.equal(tools.filter((step) => !step.answered).length, 0);
});
