/**
 * Counts what was sent, from the truth of the plan: what the ledger has to come to.
 *
 * Invariant: nothing here reads attributes or knows how the collector counts.
 */
import { inputTotal, outputTotal, type PlannedSpan, type PlannedTrace, walkSpans } from "./plan.ts";

/** Sums over the calls of one model, or of all. */
export interface CallTotals {
  calls: number;
  errors: number;
  /** Calls whose usage nobody knows, those apart that a provider refused: they cost nothing. */
  calls_missing_usage: number;
  /** Tokens of prompts, cached ones included. */
  input_total: number;
  cache_read: number;
  cache_write: number;
  /** Tokens of answers, reasoning included. */
  output_total: number;
  output_reasoning: number;
}

function noCalls(): CallTotals {
  return {
    calls: 0,
    errors: 0,
    calls_missing_usage: 0,
    input_total: 0,
    cache_read: 0,
    cache_write: 0,
    output_total: 0,
    output_reasoning: 0,
  };
}

function addCall(totals: CallTotals, { usage, failure }: NonNullable<PlannedSpan["call"]>): void {
  totals.calls += 1;
  if (failure !== null) totals.errors += 1;
  if (usage === null) {
    const refused = failure !== null && failure.http_status !== null;
    if (!refused) totals.calls_missing_usage += 1;
    return;
  }
  totals.input_total += inputTotal(usage);
  totals.cache_read += usage.cache_read;
  totals.cache_write += usage.cache_write_5m;
  totals.output_total += outputTotal(usage);
  totals.output_reasoning += usage.output_reasoning;
}

/** What all traces so far add up to. */
export class Totals {
  readonly #by_model = new Map<string, CallTotals>();
  readonly all: CallTotals = noCalls();
  traces = 0;
  spans = 0;

  add(trace: PlannedTrace): void {
    this.traces += 1;
    for (const span of walkSpans(trace.root)) {
      this.spans += 1;
      if (span.call === null) continue;
      const model = this.#by_model.get(span.call.model) ?? noCalls();
      this.#by_model.set(span.call.model, model);
      addCall(model, span.call);
      addCall(this.all, span.call);
    }
  }

  /** Totals by the model that answered (the one asked for when none did), most calls first. */
  byModel(): [model: string, totals: CallTotals][] {
    return [...this.#by_model].sort(
      ([a_name, a], [b_name, b]) => b.calls - a.calls || (a_name < b_name ? -1 : 1),
    );
  }
}
