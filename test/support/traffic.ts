/**
 * What a fleet sends, and what the ledger must make of it: calls of models whose prices are known by
 * heart, logs of a coding assistant, metrics, agents above their calls, twins of one call, spans that
 * are no calls, now and weeks late, in small and in large requests.
 *
 * Invariant: the truth of an item is made with the item, and nothing here comes from the product.
 */
import { encodeLogsRequest, encodeMetricsRequest, encodeTraceRequest } from "./otlp-proto.ts";
import type { OtlpKeyValue } from "./otlp-proto.ts";
import type { Random } from "./random.ts";

export type TrafficSignal = "traces" | "logs" | "metrics";

/** What the ledger must hold of one item once it has arrived. Costs in picodollars. */
export interface ItemTruth {
  /** What the item is found by: span id in hex, start of a log's call (ns), session of a point. */
  readonly id: string;
  readonly signal: TrafficSignal;
  readonly start_ns: bigint;
  readonly duration_ns: bigint;
  readonly provider: string;
  readonly model: string;
  readonly environment: string;
  readonly service_name: string;
  readonly agent_name: string;
  readonly user_id: string;
  readonly session_id: string;
  readonly input_uncached: bigint;
  readonly cache_read: bigint;
  readonly output_text: bigint;
  /** Null: nobody knows the price. */
  readonly cost_pd: bigint | null;
  /** Whether it is a call of the ledger, of which twins have one. */
  readonly is_counted: boolean;
}

interface Item {
  readonly truth: ItemTruth;
  /** Span, log record or metric as it stands in a request. */
  readonly wire: Readonly<Record<string, unknown>>;
}

/** One export request. */
export interface Parcel {
  readonly signal: TrafficSignal;
  readonly items: readonly Item[];
  /** Whether others count by it, so that its sender never gives up. */
  readonly is_vital: boolean;
}

/** Of one model: US dollars for a million tokens, from the providers' price pages. */
const PRICES: Readonly<Record<string, readonly [input: number, cached: number, output: number]>> = {
  "gpt-4o-mini": [0.15, 0.075, 0.6],
  "gpt-4o": [2.5, 1.25, 10],
  "claude-haiku-4-5": [1, 0.1, 5],
};
const MODELS = ["gpt-4o-mini", "gpt-4o-mini", "gpt-4o", "house-model-7"];
const SERVICES = ["checkout", "search", "support"];
const ENVIRONMENTS = ["prod", "test"];
const AGENTS = ["", "", "planner", "writer"];
const USERS = Array.from({ length: 12 }, (_unused, index) => `user-${index}`);
const SESSIONS = Array.from({ length: 40 }, (_unused, index) => `session-${index}`);
/** How late items are, ms; each is moved by up to a minute. */
const LATENESS_MS = [0, 0, 0, 0, 0, 0, 60_000, 1_800_000, 7 * 3_600_000, 26 * 3_600_000];
const LATEST_MS = 33 * 86_400_000;
/** A span of a large request carries this much besides, so that 2,500 of them are above a MiB. */
const PADDING = "x".repeat(300);

/** Picodollars: millionths of the price of a million tokens. */
function priceOf(model: string, counts: readonly bigint[]): bigint | null {
  const prices = PRICES[model];
  if (prices === undefined) return null;
  return counts.reduce(
    (sum, count, index) => sum + count * BigInt(Math.round((prices[index] as number) * 1e6)),
    0n,
  );
}

const text = (key: string, value: string): OtlpKeyValue => ({ key, value: { stringValue: value } });
const whole = (key: string, value: bigint): OtlpKeyValue => ({ key, value: { intValue: value } });

/** Endless traffic from a random source. */
export class Traffic {
  readonly #random: Random;
  readonly #now_ms: () => number;
  #count = 0;
  #times = 0;
  /** Parts of what is told apart, with the parcels that they have to arrive in still to come. */
  readonly #waiting: Item[] = [];

  constructor(random: Random, now_ms: () => number = Date.now) {
    this.#random = random;
    this.#now_ms = now_ms;
  }

  /** The next new request. */
  next(): Parcel {
    const random = this.#random;
    const roll = random.next();
    if (roll < 0.1) return this.#parcel("logs", 1 + random.whole(20), () => this.#log());
    if (roll < 0.17) return this.#parcel("metrics", 1 + random.whole(20), () => this.#point());
    if (roll < 0.185) return this.large();
    if (roll < 0.25 || this.#waiting.length > 20) return this.#families();
    const count = random.chance(0.6) ? 1 + random.whole(12) : 1 + random.whole(150);
    const trace = this.#traceId();
    return this.#parcel("traces", count, () =>
      random.chance(0.1) ? this.#tool(trace) : this.#call(trace),
    );
  }

  /** A request above a MiB. */
  large(): Parcel {
    const trace = this.#traceId();
    const count = 2_500 + this.#random.whole(1_000);
    return this.#parcel("traces", count, () => this.#call(trace, [text("app.note", PADDING)]));
  }

  /** Items of requests that were sent before, in a request of their own; null when there are none. */
  rebatch(parcels: readonly Parcel[]): Parcel | null {
    const random = this.#random;
    const first = parcels.length === 0 ? undefined : random.pick(parcels);
    if (first === undefined) return null;
    const items: Item[] = [];
    for (let taken = 0; taken < 4; taken += 1) {
      const parcel = taken === 0 ? first : random.pick(parcels);
      if (parcel.signal !== first.signal) continue;
      items.push(...parcel.items.filter(() => random.chance(0.3)).slice(0, 100));
    }
    if (items.length === 0) return null;
    return { signal: first.signal, items, is_vital: false };
  }

  /** What is left of families, so that they are whole. */
  rest(): Parcel[] {
    const items = this.#waiting.splice(0);
    return items.length === 0 ? [] : [{ signal: "traces", items, is_vital: true }];
  }

  #parcel(signal: TrafficSignal, count: number, make: () => Item): Parcel {
    return { signal, items: Array.from({ length: count }, make), is_vital: false };
  }

  /** Agents, their calls and twins of calls; a part of each goes with a later request. */
  #families(): Parcel {
    const random = this.#random;
    const items = this.#waiting.splice(0, random.whole(this.#waiting.length + 1));
    for (let family = 0; family <= random.whole(5); family += 1) {
      for (const item of random.chance(0.5) ? this.#agent() : this.#twins()) {
        (random.chance(0.5) ? items : this.#waiting).push(item);
      }
    }
    if (items.length === 0) items.push(...this.#waiting.splice(0));
    return { signal: "traces", items, is_vital: true };
  }

  #traceId(): string {
    return Buffer.from(this.#random.bytes(16)).toString("hex");
  }

  #number(): string {
    this.#count += 1;
    return this.#count.toString(16).padStart(16, "0");
  }

  #time(): bigint {
    const random = this.#random;
    const late_ms = random.chance(0.02) ? LATEST_MS : random.pick(LATENESS_MS);
    const ms = this.#now_ms() - late_ms - random.whole(60_000);
    this.#times += 1;
    // No two items start at the same time.
    return BigInt(ms) * 1_000_000n + BigInt(this.#times % 1_000_000);
  }

  #truth(id: string, changes: Partial<ItemTruth> = {}): ItemTruth {
    const random = this.#random;
    const model = changes.model ?? random.pick(MODELS);
    const cache_read = random.chance(0.3) ? BigInt(1 + random.whole(900)) : 0n;
    const input_uncached = BigInt(1 + random.whole(5_000));
    const output_text = BigInt(1 + random.whole(800));
    return {
      id,
      signal: "traces",
      start_ns: this.#time(),
      duration_ns: BigInt(1 + random.whole(2_000)) * 1_000_000n,
      provider: "openai",
      model,
      environment: random.pick(ENVIRONMENTS),
      service_name: random.pick(SERVICES),
      agent_name: random.pick(AGENTS),
      user_id: random.pick(USERS),
      session_id: random.pick(SESSIONS),
      input_uncached,
      cache_read,
      output_text,
      cost_pd: priceOf(model, [input_uncached, cache_read, output_text]),
      is_counted: true,
      ...changes,
    };
  }

  #call(trace: string, more: readonly OtlpKeyValue[] = []): Item {
    const truth = this.#truth(this.#number());
    const response_id = this.#random.chance(0.5) ? `response-${truth.id}` : "";
    return { truth, wire: spanOf(truth, trace, { response_id, more }) };
  }

  #tool(trace: string): Item {
    const truth = this.#truth(this.#number(), { is_counted: false });
    const wire = {
      ...spanOf(truth, trace, {}),
      name: "execute_tool search",
      attributes: [
        text("gen_ai.operation.name", "execute_tool"),
        text("gen_ai.tool.name", "search"),
      ],
    };
    return { truth, wire };
  }

  /** An agent that repeats the sum of its two calls: only they count. */
  #agent(): Item[] {
    const trace = this.#traceId();
    const parent = this.#number();
    const agent_name = "planner";
    const first = this.#truth(this.#number(), { agent_name, model: "gpt-4o" });
    const second = this.#truth(this.#number(), { ...first, id: this.#number() });
    const sum = this.#truth(parent, {
      ...first,
      id: parent,
      is_counted: false,
      input_uncached: 2n * first.input_uncached,
      cache_read: 2n * first.cache_read,
      output_text: 2n * first.output_text,
    });
    return [
      { truth: sum, wire: spanOf(sum, trace, { operation: "invoke_agent" }) },
      { truth: first, wire: spanOf(first, trace, { parent }) },
      { truth: second, wire: spanOf(second, trace, { parent }) },
    ];
  }

  /** One call seen by two instrumentations in two traces. */
  #twins(): Item[] {
    const one = this.#truth(this.#number(), { agent_name: "" });
    const other = { ...one, id: this.#number(), is_counted: false };
    const response_id = `twins-${one.id}`;
    return [one, other].map((truth) => ({
      truth,
      wire: spanOf(truth, this.#traceId(), { response_id }),
    }));
  }

  #log(): Item {
    const start_ns = this.#time();
    const truth = this.#truth(String(start_ns), {
      start_ns,
      signal: "logs",
      provider: "anthropic",
      model: "claude-haiku-4-5",
      agent_name: "",
    });
    const end_ns = truth.start_ns + truth.duration_ns;
    const wire = {
      resource: resourceOf(truth),
      timeUnixNano: end_ns,
      observedTimeUnixNano: end_ns,
      body: { stringValue: "claude_code.api_request" },
      attributes: [
        text("user.id", truth.user_id),
        text("session.id", truth.session_id),
        text("event.name", "api_request"),
        text("model", truth.model),
        whole("input_tokens", truth.input_uncached),
        whole("output_tokens", truth.output_text),
        whole("cache_read_tokens", truth.cache_read),
        whole("cache_creation_tokens", 0n),
        whole("duration_ms", truth.duration_ns / 1_000_000n),
      ],
    };
    return { truth, wire };
  }

  #point(): Item {
    const id = `point-${this.#number()}`;
    const truth = this.#truth(id, { signal: "metrics", is_counted: false, cache_read: 0n });
    const point = {
      startTimeUnixNano: truth.start_ns,
      timeUnixNano: truth.start_ns + truth.duration_ns,
      asDouble: Number(truth.input_uncached),
      attributes: [text("session.id", id), text("type", "input"), text("model", truth.model)],
    };
    const wire = {
      resource: resourceOf(truth),
      name: "claude_code.token.usage",
      unit: "tokens",
      sum: { aggregationTemporality: 1, isMonotonic: true, dataPoints: [point] },
    };
    return { truth, wire };
  }
}

interface SpanForm {
  readonly parent?: string;
  readonly operation?: string;
  readonly response_id?: string;
  readonly more?: readonly OtlpKeyValue[];
}

function spanOf(truth: ItemTruth, trace: string, form: SpanForm): Record<string, unknown> {
  const { parent = "", operation = "chat", response_id = "", more = [] } = form;
  const optional = [
    ["gen_ai.agent.name", truth.agent_name],
    ["gen_ai.response.id", response_id],
  ] as const;
  return {
    resource: resourceOf(truth),
    traceId: Buffer.from(trace, "hex"),
    spanId: Buffer.from(truth.id, "hex"),
    ...(parent === "" ? {} : { parentSpanId: Buffer.from(parent, "hex") }),
    name: `${operation} ${truth.model}`,
    kind: 3,
    startTimeUnixNano: truth.start_ns,
    endTimeUnixNano: truth.start_ns + truth.duration_ns,
    attributes: [
      text("gen_ai.operation.name", operation),
      text("gen_ai.provider.name", truth.provider),
      text("gen_ai.request.model", truth.model),
      text("user.id", truth.user_id),
      text("gen_ai.conversation.id", truth.session_id),
      // OpenAI's input has what was read from the cache in it.
      whole("gen_ai.usage.input_tokens", truth.input_uncached + truth.cache_read),
      whole("gen_ai.usage.cache_read.input_tokens", truth.cache_read),
      whole("gen_ai.usage.output_tokens", truth.output_text),
      ...optional.flatMap(([key, value]) => (value === "" ? [] : [text(key, value)])),
      ...more,
    ],
  };
}

function resourceOf(truth: ItemTruth): readonly OtlpKeyValue[] {
  return [
    text("service.name", truth.service_name),
    text("deployment.environment.name", truth.environment),
  ];
}

/** A parcel as the plain object of an export request. */
function requestOf({ signal, items }: Parcel): object {
  const groups = new Map<string, Record<string, unknown>[]>();
  const resources = new Map<string, unknown>();
  for (const { truth, wire } of items) {
    const key = `${truth.service_name} ${truth.environment}`;
    const { resource, ...rest } = wire;
    resources.set(key, resource);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [rest]);
    else group.push(rest);
  }
  const [outer, middle, inner, scope] = SHAPES[signal];
  return {
    [outer]: [...groups].map(([key, members]) => ({
      resource: { attributes: resources.get(key) },
      [middle]: [{ scope: { name: scope, version: "1.0.0" }, [inner]: members }],
    })),
  };
}

const CLAUDE_CODE = "com.anthropic.claude_code";
const SHAPES = {
  traces: ["resourceSpans", "scopeSpans", "spans", "fleet"],
  logs: ["resourceLogs", "scopeLogs", "logRecords", `${CLAUDE_CODE}.events`],
  metrics: ["resourceMetrics", "scopeMetrics", "metrics", CLAUDE_CODE],
} as const;

const ENCODERS = {
  traces: encodeTraceRequest,
  logs: encodeLogsRequest,
  metrics: encodeMetricsRequest,
} as const;

/** The parcel as a protobuf body. */
export function encodeParcel(parcel: Parcel): Uint8Array {
  return ENCODERS[parcel.signal](requestOf(parcel));
}

/** The parcel as a JSON body: ids in hex, 64-bit integers as text. */
export function encodeParcelJson(parcel: Parcel): Uint8Array {
  const plain = (value: unknown): unknown => {
    if (Buffer.isBuffer(value)) return value.toString("hex");
    if (typeof value === "bigint") return value.toString();
    if (Array.isArray(value)) return value.map((item: unknown) => plain(item));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
  };
  return Buffer.from(JSON.stringify(plain(requestOf(parcel))));
}
