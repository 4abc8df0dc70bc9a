-- What a list shows or compares of an execution: `step_times` and `step_names` are long, and nothing of them is shown.
SELECT e.id, e.subject, e.provenance, e.received_at, e.updated_at, e.started_at, e.start_rank, e.start_writer, e.start_k, e.name,
  e.agent, e.pipeline, e.user, e.session, e.environment, e.release, e.tags, e.state_rank, e.end_rank, e.end_writer, e.end_k,
  e.end_status, e.ended_at, e.batches, e.events, e.rejected, e.steps, e.error_steps, e.input_tokens, e.cache_read_tokens,
  e.cache_write_tokens, e.output_tokens, e.reasoning_tokens, e.cost_nano_usd, e.models, e.tools, e.openers, e.closers, e.expected,
  e.adopted_closers, e.adopted_expected, e.dropped, e.first_token_at, e.derived_cost_nano_usd, e.price_version_first,
  e.price_version_last, e.labels, e.status, e.tokens
