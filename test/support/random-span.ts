/**
 * Spans as odd as the wire gives them: unknown and zero token classes, costs of every status,
 * refused calls, spans that are no calls but carry tokens, names with quotes and without letters.
 *
 * Invariant: the same random numbers give the same spans, and each span is one that normalizing and
 * pricing can leave.
 */
import { Attributes, type Span, type SpanClass } from "../../schemas/span.ts";
import { TOKEN_CLASSES } from "../../schemas/tokens.ts";
import type { Random } from "./random.ts";
import { makeSpan } from "./span.ts";

/** Text that breaks what quotes, splits or escapes it wrongly. */
export const ODD_TEXTS: readonly string[] = [
  "",
  "it's",
  'say "hi", twice',
  "back\\slash\\",
  "tab\there\nline",
  "x') OR 1=1 --",
  "ünï ☃ 模型 🙂",
  "{project_id:String}",
  "[1,2]",
  " led by a space",
];

const PROVIDERS = ["openai", "anthropic", "google", "", 'o\'reilly, "ai"'];
const MODELS = ["gpt-4o-mini", "claude-sonnet-4", "gemini-2.5-pro", ...ODD_TEXTS.slice(0, 7)];
const SERVICES = ["checkout", "search", ...ODD_TEXTS.slice(0, 5)];
const USERS = [...Array.from({ length: 25 }, (_, index) => `user-${index}`), ...ODD_TEXTS];
const SESSIONS = [...Array.from({ length: 60 }, (_, index) => `session-${index}`), ...ODD_TEXTS];
const AGENTS = ["", "", "planner", "write\\r", "'"];
const PRICES = ["openai/a/standard/initial", "anthropic/b,c/batch/2026-01-01", "p'q"];

/** The largest amount that a Decimal(18, 12) holds, picodollars. */
const DEAREST = 999_999_999_999_999_999n;
const NO_CLASS = TOKEN_CLASSES.map(() => null);

type Money = Pick<Span, "tokens" | "usage_status" | "cost" | "cost_status" | "price_id">;

function randomTokens(random: Random): (number | null)[] {
  const tokens = TOKEN_CLASSES.map((): number | null => {
    if (random.chance(0.55)) return null;
    if (random.chance(0.2)) return 0;
    return random.chance(0.02) ? 1_000_000_000 : 1 + random.whole(50_000);
  });
  if (!tokens.some((count) => count !== null)) tokens[0] = 1;
  return tokens;
}

function randomCost(random: Random, count: number | null): bigint | null {
  if (count === null) return null;
  if (count === 0) return 0n;
  return random.chance(0.01) ? DEAREST : BigInt(1 + random.whole(2 ** 31)) * 7_919n;
}

function randomMoney(random: Random): Money {
  const usage_status = random.pick(["reported", "reported", "derived", "estimated"] as const);
  const tokens = randomTokens(random);
  const roll = random.next();
  if (roll < 0.1) {
    return { tokens, usage_status, cost: NO_CLASS, cost_status: "unpriced", price_id: "" };
  }
  const cost = tokens.map((count) => randomCost(random, count));
  const known = tokens.flatMap((count, index) => (count === null ? [] : [index]));
  const price_id = random.pick(PRICES);
  if (roll < 0.2 && known.length > 1) {
    cost[random.pick(known)] = null;
    return { tokens, usage_status, cost, cost_status: "partial", price_id };
  }
  return { tokens, usage_status, cost, cost_status: "priced", price_id };
}

/** What a call that failed or did not report is: refused (free), or unknown. */
function withoutUsage(random: Random): Partial<Span> {
  const none = { tokens: NO_CLASS, cost: NO_CLASS, price_id: "", usage_status: "missing" as const };
  if (random.chance(0.6)) {
    const http_status = random.pick([400, 429, 500, 529]);
    return { ...none, status: "error", error_type: "x", http_status, cost_status: "priced" };
  }
  return { ...none, cost_status: "unpriced", status: random.pick(["unset", "ok", "error"]) };
}

function randomClass(random: Random): SpanClass {
  if (random.chance(0.86)) return "billable";
  return random.pick(["other", "aggregate", "tool", "structure"]);
}

function randomDuration(random: Random): bigint {
  if (random.chance(0.02)) return BigInt(random.whole(4));
  return BigInt(Math.floor(2 ** (4 + random.next() * 36)));
}

/** A span of the project that starts then; its ids are new. */
export function makeRandomSpan(random: Random, project_id: string, start_ns: bigint): Span {
  const span_class = randomClass(random);
  const request_model = random.pick(MODELS);
  const money =
    span_class === "billable" && random.chance(0.15) ? withoutUsage(random) : randomMoney(random);
  const span = makeSpan({
    project_id,
    start_ns,
    duration_ns: randomDuration(random),
    trace_id: random.bytes(16),
    span_id: random.bytes(8),
    parent_span_id: random.chance(0.5) ? new Uint8Array(8) : random.bytes(8),
    name: random.pick(ODD_TEXTS),
    kind: random.whole(6),
    span_class,
    operation: random.pick(["chat", "embeddings", "text_completion", ""]),
    provider: random.pick(PROVIDERS),
    request_model,
    response_model: random.chance(0.3) ? "" : random.pick([request_model, `${request_model}-v2`]),
    response_id: random.chance(0.5) ? "" : `resp-${random.whole(1e9)}`,
    streaming: random.pick([null, true, false]),
    status: random.chance(0.06) ? "error" : random.pick(["unset", "ok"]),
    finish_reason: random.pick(["stop", "length", ""]),
    service_tier: random.pick(["", "default", "batch"]),
    region: random.pick(["", "eu"]),
    ttft_ns: random.chance(0.4) ? randomDuration(random) : null,
    client_cost: random.chance(0.3) ? BigInt(random.whole(2 ** 31)) : null,
    service_name: random.pick(SERVICES),
    environment: random.pick(["", "prod", "test"]),
    user_id: random.pick(USERS),
    session_id: random.pick(SESSIONS),
    agent_name: random.pick(AGENTS),
    tags: random.chance(0.2)
      ? new Attributes(["team", "__proto__", "team"], ["a", random.pick(ODD_TEXTS), "b'"])
      : new Attributes(),
    ...money,
  });
  if (span.cost_status === "priced" && random.chance(0.2)) {
    span.fee_units = [{ kind: "web_search", count: 1 + random.whole(5) }];
    span.cost_fees = BigInt(random.whole(2 ** 31));
  }
  if (span_class !== "billable") span.provider_calls = null;
  if (span_class === "other") span.dialect = "";
  if (span_class !== "billable" && span_class !== "aggregate") span.cost_status = "none";
  return span;
}
