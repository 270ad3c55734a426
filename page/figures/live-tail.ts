/**
 * What has been seen of the ledger since one began to look: the newest calls, and the sums of all.
 *
 * Invariant: a call that is told again, changed or withdrawn counts once, as it was told last, as long as
 * it is among the last MAX_COUNTED.
 */
import type { LiveFrame } from "../../schemas/api-live.ts";
import type { CallRow } from "../../schemas/call.ts";
import { addUsd, subtractUsd } from "../money.ts";
import { FILTER_NAMES, type FilterName } from "../url.ts";

/** Calls that are listed, the newest. */
export const MAX_LISTED = 500;
/** Calls whose part of the sums is remembered, to be taken back when they change. */
const MAX_COUNTED = 10_000;

/** Sums of the calls that were seen. */
export interface SeenTotals {
  readonly calls: number;
  readonly failed: number;
  readonly input_total: number;
  readonly output_total: number;
  /** US dollars, exact. */
  readonly cost_usd: string;
  /** Calls whose cost is not, or not wholly, known. */
  readonly unpriced: number;
}

const NOTHING: SeenTotals = {
  calls: 0,
  failed: 0,
  input_total: 0,
  output_total: 0,
  cost_usd: "0",
  unpriced: 0,
};

function partOf(call: CallRow): SeenTotals {
  return {
    calls: 1,
    failed: call.status === "error" ? 1 : 0,
    input_total: call.input_total ?? 0,
    output_total: call.output_total ?? 0,
    cost_usd: call.cost_usd ?? "0",
    unpriced: call.cost_status === "priced" ? 0 : 1,
  };
}

function combine(a: SeenTotals, b: SeenTotals, sign: 1 | -1): SeenTotals {
  const cost_usd =
    sign === 1 ? addUsd(a.cost_usd, b.cost_usd) : subtractUsd(a.cost_usd, b.cost_usd);
  return {
    calls: a.calls + sign * b.calls,
    failed: a.failed + sign * b.failed,
    input_total: a.input_total + sign * b.input_total,
    output_total: a.output_total + sign * b.output_total,
    cost_usd: cost_usd ?? a.cost_usd,
    unpriced: a.unpriced + sign * b.unpriced,
  };
}

/** What filters of the page read of a call. */
const READ: Readonly<Record<FilterName | "error_type", (call: CallRow) => string | null>> = {
  model: ({ response_model, request_model }) => response_model ?? request_model,
  request_model: ({ request_model }) => request_model,
  provider: ({ provider }) => provider,
  service_name: ({ service_name }) => service_name,
  environment: ({ environment }) => environment,
  user_id: ({ user_id }) => user_id,
  agent_name: ({ agent_name }) => agent_name,
  operation: ({ operation }) => operation,
  session_id: ({ session_id }) => session_id,
  price_id: ({ price_id }) => price_id,
  error_type: ({ error_type }) => error_type,
};

/** Whether a call has one of the values of every filter of the address, as the API decides it. */
export function fitsFilters(call: CallRow, params: URLSearchParams): boolean {
  return FILTER_NAMES.every((name) => {
    const values = params.getAll(name);
    return values.length === 0 || values.includes(READ[name](call) ?? "");
  });
}

/** A call, and when the server told of it: its clock, RFC 3339. */
export type SeenCall = CallRow & { readonly arrived_at: string };

type CallsFrame = Extract<LiveFrame, { kind: "calls" }>;

/** What is seen; `rows` and `totals` are new objects after each change. */
export class LiveTail {
  /** Those that arrived last first, whenever they began. */
  rows: readonly SeenCall[] = [];
  totals: SeenTotals = NOTHING;
  /** Frames that changed something. */
  changes = 0;
  /** Changes that the server could not tell one by one. */
  left_out = 0;
  /** Whether there may be others that nobody counted. */
  is_unsure = false;
  readonly #fits: (call: CallRow) => boolean;
  readonly #counted = new Map<string, SeenTotals>();

  constructor(fits: (call: CallRow) => boolean) {
    this.#fits = fits;
  }

  /** Takes the calls of a frame. */
  add({ time, calls, withdrawn, left_out }: CallsFrame): void {
    const told = new Set([...withdrawn, ...calls.map(({ call_id }) => call_id)]);
    for (const call_id of told) this.#takeBack(call_id);
    const fitting = calls
      .filter((call) => this.#fits(call))
      .map((call) => ({ ...call, arrived_at: time }));
    for (const call of fitting) this.#count(call);
    this.left_out += left_out ?? 0;
    this.is_unsure ||= left_out === null;
    const kept = this.rows.filter(({ call_id }) => !told.has(call_id));
    this.rows = [...fitting, ...kept].slice(0, MAX_LISTED);
    this.changes += 1;
  }

  #takeBack(call_id: string): void {
    const part = this.#counted.get(call_id);
    if (part === undefined) return;
    this.#counted.delete(call_id);
    this.totals = combine(this.totals, part, -1);
  }

  #count(call: CallRow): void {
    const part = partOf(call);
    this.totals = combine(this.totals, part, 1);
    this.#counted.set(call.call_id, part);
    const [oldest] = this.#counted.keys();
    if (this.#counted.size > MAX_COUNTED && oldest !== undefined) this.#counted.delete(oldest);
  }
}
