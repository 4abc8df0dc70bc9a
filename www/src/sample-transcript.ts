/** A short run for whoever has no file at hand. */
export const SAMPLE_FILE_NAME = "sample.json";

export const SAMPLE_TRANSCRIPT = JSON.stringify({
  name: "find the earliest flight",
  agent: "travel-desk",
  model: "gpt-4o",
  messages: [
    { role: "system", content: "You book flights. Look up before you answer, and say what it costs." },
    { role: "user", content: "What is the earliest flight from Oslo to Seattle on May 20?" },
    {
      role: "assistant",
      content: null,
      tool_calls: [{ id: "call_1", type: "function", function: { name: "search_flights", arguments: '{"from":"OSL","to":"SEA","date":"2026-05-20"}' } }],
    },
    { role: "tool", tool_call_id: "call_1", content: '{"flights":[{"number":"HAT041","departs":"06:55","price":412},{"number":"HAT112","departs":"13:20","price":388}]}' },
    { role: "assistant", content: "HAT041 leaves Oslo at 06:55 and costs $412. HAT112, at 13:20, is $24 cheaper." },
  ],
});
