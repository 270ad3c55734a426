/**
 * The stage from decoded spans to canonical ones: which dialect speaks, whether the span counts,
 * what it used, and who it belongs to. Pure: the same spans give the same rows.
 */
import {
  Attributes,
  type DecodedSpan,
  type Scope,
  type ScopeSpans,
  type Signal,
  type Span,
  type SpanStatus,
} from "../../schemas/span.ts";
import type { SpanContext } from "../../schemas/span-row.ts";
import { TOKEN_CLASSES } from "../../schemas/tokens.ts";
import { disown, readCall } from "./call.ts";
import {
  MAX_PLAIN_TEXT_LENGTH,
  withoutContent,
  withoutEventContent,
  withoutLinkContent,
  withoutLongName,
} from "./content.ts";
import type { Dialect } from "./dialect.ts";
import { DIALECTS } from "./dialects.ts";
import { OTEL_FIELDS } from "./otel-genai.ts";
import { type Reads, registerKeys, SlotValues } from "./slots.ts";
import { TAG_PREFIX } from "./tags.ts";
import { MAX_TEXT_LENGTH, readIdentity, readText } from "./values.ts";

/** A span open for longer has a wrong end, and one of them would swamp every sum: 30 days, ns. */
export const MAX_DURATION_NS = 30n * 86_400n * 1_000_000_000n;

/** Logfire sends an early copy of every span, with a span id of its own (dialects.md 1.1). */
const PENDING_COPY = registerKeys("logfire.span_type");

export interface NormalizeOptions {
  readonly project_id: string;
  /** Id of the key of the sender; none when it is not given. */
  readonly key_id?: string;
  /** Keep prompts and answers. Off by default: they are dropped here, before anything is stored. */
  readonly capture_content: boolean;
}

const NO_PARENT = new Uint8Array(8);
const SERVER_STATUSES: readonly SpanStatus[] = ["unset", "ok", "error"];

/** What all spans of one scope share. */
export interface Context extends SpanContext {
  readonly options: NormalizeOptions;
  readonly scope: Scope;
}

/** Values of the span at hand; one for the process, refilled for each span. */
const values = new SlotValues();

/** Normalizes the spans of one scope, in order. */
export function normalizeScope(scope_spans: ScopeSpans, options: NormalizeOptions): Span[] {
  const context = makeContext(scope_spans.resource, scope_spans.scope, options);
  return scope_spans.spans.map((span) => normalizeSpan(span, context));
}

/** Normalizes what was put in the shape of spans, by the dialects given. */
export function normalizeAs(
  scope_spans: ScopeSpans,
  dialects: readonly Dialect[],
  signal: Signal,
  options: NormalizeOptions,
): Span[] {
  const context = makeContext(scope_spans.resource, scope_spans.scope, options);
  return scope_spans.spans.map((span) => normalizeSpan(span, context, dialects, signal));
}

/** What the spans of a scope of a resource share. */
export function makeContext(
  resource: Attributes,
  scope: Scope,
  options: NormalizeOptions,
): Context {
  return {
    options,
    scope,
    project_id: options.project_id,
    key_id: options.key_id ?? "",
    scope_name: scope.name.slice(0, MAX_TEXT_LENGTH),
    scope_version: scope.version.slice(0, MAX_TEXT_LENGTH),
    resource_attributes: options.capture_content ? resource : withoutContent(resource),
    resource_tags: readTags(resource, options),
    service_name: readText(resource.get("service.name")) ?? "",
    environment: environmentOf(resource),
  };
}

/** The environment that a resource names, by either generation of the conventions; "" for none. */
export function environmentOf(resource: Attributes): string {
  return (
    readText(resource.get("deployment.environment.name")) ??
    readText(resource.get("deployment.environment")) ??
    ""
  );
}

/** A span, and by what it was understood. */
export interface UnderstoodSpan {
  readonly span: Span;
  /** Undefined when no dialect speaks for it. */
  readonly dialect: Dialect | undefined;
  /** The attributes, until the next span. */
  readonly values: SlotValues;
}

/** Normalizes a span and remembers in `reads` what decided. */
export function understandSpan(
  decoded: DecodedSpan,
  context: Context,
  reads: Reads,
): UnderstoodSpan {
  values.reads = reads;
  try {
    const span = normalizeSpan(decoded, context);
    const dialect = DIALECTS.find((candidate) => candidate.matches(context.scope, values));
    return { span, dialect, values };
  } finally {
    values.reads = null;
  }
}

/** Normalizes one span or, given its dialects, anything that was put in the shape of one. */
export function normalizeSpan(
  decoded: DecodedSpan,
  context: Context,
  dialects: readonly Dialect[] = DIALECTS,
  signal: Signal = "span",
): Span {
  values.fill(decoded.attributes);
  const span = copySpan(decoded, context);
  span.signal = signal;
  const dialect = dialects.find((candidate) => candidate.matches(context.scope, values));
  if (dialect === undefined) {
    // Calls below it may lack what it says of whose they are.
    span.user_id = readIdentity(values.firstFor("user_id", OTEL_FIELDS.user_id)) ?? "";
    span.session_id = readIdentity(values.firstFor("session_id", OTEL_FIELDS.session_id)) ?? "";
    return span;
  }
  readCall(span, decoded, dialect, values);
  if (values.first(PENDING_COPY) === "pending_span") disown(span, "an early copy of another span");
  return span;
}

/** The span as sent, with nothing known about a model call. */
function copySpan(decoded: DecodedSpan, context: Context): Span {
  const { options } = context;
  const tags = readTags(decoded.attributes, options);
  const keep = options.capture_content;
  return {
    project_id: options.project_id,
    key_id: options.key_id ?? "",
    start_ns: decoded.start_ns,
    duration_ns: durationOf(decoded),
    trace_id: decoded.trace_id,
    span_id: decoded.span_id,
    parent_span_id: decoded.parent_span_id.length === 0 ? NO_PARENT : decoded.parent_span_id,
    name: (keep ? decoded.name : withoutLongName(decoded.name)).slice(0, MAX_TEXT_LENGTH),
    kind: decoded.kind,
    status: SERVER_STATUSES[decoded.status_code] ?? "unset",
    status_message: keep ? decoded.status_message : "",
    span_class: "other",
    operation: "",
    provider: "",
    request_model: "",
    response_model: "",
    response_id: "",
    streaming: null,
    error_type: "",
    http_status: 0,
    finish_reason: "",
    service_tier: "",
    region: "",
    ttft_ns: null,
    tokens: TOKEN_CLASSES.map(() => null),
    usage_status: "none",
    fee_units: [],
    provider_calls: null,
    cost: TOKEN_CLASSES.map(() => null),
    cost_fees: null,
    cost_status: "none",
    price_id: "",
    client_cost: null,
    service_name: context.service_name,
    environment: context.environment,
    user_id: "",
    session_id: "",
    agent_name: "",
    tags: mergeTags(context.resource_tags, tags),
    dialect: "",
    scope_name: context.scope_name,
    scope_version: context.scope_version,
    signal: "span",
    reason: "not a GenAI span",
    attributes: keep ? decoded.attributes : withoutContent(decoded.attributes),
    resource_attributes: context.resource_attributes,
    events: keep ? decoded.events : withoutEventContent(decoded.events),
    links: keep ? decoded.links : withoutLinkContent(decoded.links),
  };
}

/** The duration, ns; 0 where the clock went back or the end is none. */
function durationOf({ start_ns, end_ns }: DecodedSpan): bigint {
  const duration_ns = end_ns - start_ns;
  return duration_ns > 0n && duration_ns <= MAX_DURATION_NS ? duration_ns : 0n;
}

function readTags(attributes: Attributes, options: NormalizeOptions): Attributes {
  const max_length = options.capture_content ? MAX_TEXT_LENGTH : MAX_PLAIN_TEXT_LENGTH;
  const tags = new Attributes();
  for (let index = 0; index < attributes.keys.length; index += 1) {
    const key = attributes.keys[index] as string;
    if (!key.startsWith(TAG_PREFIX) || key.length === TAG_PREFIX.length) continue;
    const text = readText(attributes.values[index] ?? undefined);
    if (text !== undefined && text.length <= max_length)
      tags.add(key.slice(TAG_PREFIX.length), text);
  }
  return tags;
}

/** Tags of the resource, then of the span: the span's win. */
function mergeTags(resource: Attributes, span: Attributes): Attributes {
  if (span.keys.length === 0) return resource;
  if (resource.keys.length === 0) return span;
  return new Attributes([...resource.keys, ...span.keys], [...resource.values, ...span.values]);
}
