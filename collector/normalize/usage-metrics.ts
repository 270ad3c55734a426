/**
 * From metric data points to usage points: the token, cost and call metrics of GenAI clients
 * (dialects.md sections 2, 5, 11 to 14, 16 and 18), kept to be compared with the ledger.
 *
 * Invariant: a point keeps the value, the time and the temporality that were sent, and its series is
 * made of what names it, so that a point that comes twice, in whatever encoding, is one row.
 */
import type { DecodedMetric, DecodedPoint, ScopeMetrics } from "../../schemas/metrics.ts";
import { type Attributes, type Scope } from "../../schemas/span.ts";
import {
  type MetricKind,
  type Temporality,
  TEMPORALITIES,
  type UsageMetricPoint,
} from "../../schemas/usage-metrics.ts";
import { CLAUDE_CODE } from "./claude-code.ts";
import { CODEX } from "./codex.ts";
import { withoutContent } from "./content.ts";
import type { Dialect, Slots } from "./dialect.ts";
import { textOfValue } from "./events.ts";
import { GEMINI_CLI_EVENTS } from "./gemini-cli.ts";
import { hashText } from "./hash.ts";
import { environmentOf, type NormalizeOptions } from "./normalize.ts";
import { OTEL_GENAI } from "./otel-genai.ts";
import { registerKeys, SlotValues } from "./slots.ts";
import { MAX_TEXT_LENGTH, readText } from "./values.ts";
import { nameProvider } from "./vocabulary.ts";

export interface NormalizedMetrics {
  readonly points: UsageMetricPoint[];
  /** Points of other metrics, and points without a value or a time: received, and not stored. */
  readonly ignored_points: number;
}

/** What a metric counts, and how its points are read. */
interface MetricRule {
  readonly kind: MetricKind;
  /** Whose words name the model, the session and the user. */
  readonly dialect: Dialect;
  /** The class of all its tokens; "" where the points say it, and for what is no tokens. */
  readonly token_class: string;
}

/** Where a point says the class of its tokens. */
const CLASS_KEYS: Slots = registerKeys(
  "gen_ai.token.type",
  "token_type",
  "type",
  "llm.usage.token_type",
);

/** Words for classes of tokens, in lower case, to ours; others are kept. */
const TOKEN_CLASSES: ReadonlyMap<string, string> = new Map([
  ["prompt", "input"],
  ["completion", "output"],
  ["cacheread", "cache_read"],
  ["cached_input", "cache_read"],
  ["cache", "cache_read"],
  ["cachecreation", "cache_write"],
  ["cache_creation", "cache_write"],
  ["cache_write_input", "cache_write"],
  ["reasoning_output", "reasoning"],
  ["thought", "reasoning"],
]);

const GENAI_USAGE = "gen_ai.client.inference.usage";

type RuleRow = readonly [kind: MetricKind, dialect: Dialect, token_class: string, names: string];

const RULE_ROWS: readonly RuleRow[] = [
  ["tokens", CLAUDE_CODE, "", "claude_code.token.usage"],
  ["cost_usd", CLAUDE_CODE, "", "claude_code.cost.usage"],
  ["tokens", CODEX, "", "codex.turn.token_usage"],
  ["tokens", GEMINI_CLI_EVENTS, "", "gemini_cli.token.usage"],
  ["tokens", OTEL_GENAI, "", "gen_ai.client.token.usage"],
  // The genai repository's counters, one for each class, with the modality as an attribute.
  ["tokens", OTEL_GENAI, "input", `${GENAI_USAGE}.input_tokens`],
  ["tokens", OTEL_GENAI, "output", `${GENAI_USAGE}.output_tokens`],
  ["tokens", OTEL_GENAI, "cache_read", `${GENAI_USAGE}.cache_read.input_tokens`],
  ["tokens", OTEL_GENAI, "cache_write", `${GENAI_USAGE}.cache_write.input_tokens`],
  ["tokens", OTEL_GENAI, "cache_write", `${GENAI_USAGE}.cache_creation.input_tokens`],
  ["tokens", OTEL_GENAI, "reasoning", `${GENAI_USAGE}.reasoning.output_tokens`],
  ["tokens", OTEL_GENAI, "input", "gen_ai.client.inference.operation.input_tokens"],
  ["tokens", OTEL_GENAI, "output", "gen_ai.client.inference.operation.output_tokens"],
  ["calls", OTEL_GENAI, "", "gen_ai.client.operation.duration gen_ai.client.inference.duration"],
  // Strands.
  ["tokens", OTEL_GENAI, "input", "gen_ai.agent.tokens.input"],
  ["tokens", OTEL_GENAI, "output", "gen_ai.agent.tokens.output"],
  // LiteLLM and OpenLIT.
  ["cost_usd", OTEL_GENAI, "", "gen_ai.client.token.cost gen_ai.client.operation.cost"],
  ["cost_usd", OTEL_GENAI, "", "gen_ai.usage.cost"],
  ["tokens", OTEL_GENAI, "input", "gen_ai.usage.input_tokens gen_ai.usage.prompt_tokens"],
  ["tokens", OTEL_GENAI, "output", "gen_ai.usage.output_tokens gen_ai.usage.completion_tokens"],
  ["tokens", OTEL_GENAI, "total", "gen_ai.usage.total_tokens"],
  ["calls", OTEL_GENAI, "", "gen_ai.total.requests"],
  // OpenLLMetry.
  ["tokens", OTEL_GENAI, "", "llm.openai.chat_completions.tokens llm.openai.embeddings.tokens"],
  ["tokens", OTEL_GENAI, "", "llm.anthropic.completion.tokens llm.watsonx.completions.tokens"],
];

/** Rules by the name of the metric. */
const RULES: ReadonlyMap<string, MetricRule> = new Map(
  RULE_ROWS.flatMap(([kind, dialect, token_class, names]) =>
    names.split(" ").map((name): [string, MetricRule] => [name, { kind, dialect, token_class }]),
  ),
);

/** The latest time a DateTime64(9) holds, Unix ns. */
const MAX_TIME_NS = 9_223_372_036_854_775_807n;

/** Values of the point at hand; one for the process, refilled for each point. */
const values = new SlotValues();

/** What the points of one scope share. */
interface Context {
  readonly options: NormalizeOptions;
  readonly scope_name: string;
  readonly service_name: string;
  readonly environment: string;
  /** What of a series its metric and its attributes do not say. */
  readonly series_text: string;
}

/** Normalizes the points of one scope that tell usage, in order; the others are counted. */
export function normalizeMetrics(
  scope_metrics: ScopeMetrics,
  options: NormalizeOptions,
): NormalizedMetrics {
  const { resource, scope, metrics } = scope_metrics;
  const context: Context = {
    options,
    scope_name: scope.name.slice(0, MAX_TEXT_LENGTH),
    service_name: readText(resource.get("service.name")) ?? "",
    environment: environmentOf(resource),
    series_text: [textOfScope(scope), textOfAttributes(resource)].join("\u0000"),
  };
  const points: UsageMetricPoint[] = [];
  let ignored_points = 0;
  for (const metric of metrics) {
    const rule = metric.type === "gauge" ? undefined : RULES.get(metric.name);
    for (const decoded of metric.points) {
      const point = rule && normalizePoint(decoded, metric, rule, context);
      if (point === undefined) ignored_points += 1;
      else points.push(point);
    }
  }
  return { points, ignored_points };
}

function normalizePoint(
  decoded: DecodedPoint,
  metric: DecodedMetric,
  { kind, dialect, token_class }: MetricRule,
  { options, series_text, ...context }: Context,
): UsageMetricPoint | undefined {
  const value = valueOf(decoded, kind);
  const { start_ns, time_ns, attributes } = decoded;
  if (value === undefined || time_ns <= 0n || time_ns > MAX_TIME_NS) return undefined;
  values.fill(attributes);
  const keys = dialect.fields;
  const text = (slots: Slots): string => readText(values.first(slots)) ?? "";
  const model = text([...keys.response_model, ...keys.request_model, ...keys.either_model]);
  return {
    ...context,
    project_id: options.project_id,
    metric: metric.name,
    series: seriesOf([metric.name, series_text, textOfAttributes(attributes)].join("\u0000")),
    start_ns: start_ns > MAX_TIME_NS ? 0n : start_ns,
    time_ns,
    temporality: temporalityOf(metric),
    kind,
    token_class: kind === "tokens" ? token_class || nameTokenClass(text(CLASS_KEYS)) : "",
    value,
    provider: nameProvider(readText(values.first(keys.provider)), model),
    model,
    operation: text(keys.operation),
    user_id: text(keys.user_id),
    session_id: text(keys.session_id),
    dialect: dialect.name,
    attributes: options.capture_content ? attributes : withoutContent(attributes),
  };
}

/** What the point adds up: of durations their number; undefined when it says nothing. */
function valueOf(point: DecodedPoint, kind: MetricKind): number | undefined {
  if (point.no_recorded_value) return undefined;
  const sent = kind === "calls" && point.kind === "histogram" ? point.count : point.value;
  const value = sent === null ? Number.NaN : Number(sent);
  return Number.isFinite(value) ? value : undefined;
}

/** A summary has no temporality of its own: it counts since its start (Prometheus). */
function temporalityOf({ type, temporality }: DecodedMetric): Temporality {
  return type === "summary" ? "cumulative" : TEMPORALITIES[temporality];
}

function nameTokenClass(sent: string): string {
  const word = sent.toLowerCase();
  return TOKEN_CLASSES.get(word) ?? word;
}

function textOfScope({ name, version }: Scope): string {
  return `${name}\u0000${version}`;
}

/** Attributes in an order that does not depend on the sender's. */
function textOfAttributes({ keys, values: sent }: Attributes): string {
  const pairs = keys.map((key, index) => `${key}\u0001${textOfValue(sent[index] ?? null)}`);
  return pairs.toSorted().join("\u0001");
}

function seriesOf(text: string): bigint {
  return new DataView(hashText(text).buffer).getBigUint64(0);
}
