/**
 * The stage from decoded spans to canonical ones: which dialect speaks, whether the span counts,
 * what it used, and who it belongs to. Pure: the same spans give the same rows.
 */
import {
  Attributes,
  type DecodedSpan,
  type Scope,
  type ScopeSpans,
  type Span,
  type SpanStatus,
} from "../../schemas/span.ts";
import { TOKEN_CLASSES } from "../../schemas/tokens.ts";
import { ANTHROPIC_SDK } from "./anthropic-sdk.ts";
import { classify } from "./classify.ts";
import {
  MAX_PLAIN_TEXT_LENGTH,
  withoutContent,
  withoutEventContent,
  withoutLinkContent,
  withoutLongName,
} from "./content.ts";
import type { Dialect } from "./dialect.ts";
import { OTEL_GENAI } from "./otel-genai.ts";
import { OTEL_OPENAI_JS } from "./otel-openai-js.ts";
import { nameOtherClient } from "./other-clients.ts";
import { registerKeys, SlotValues } from "./slots.ts";
import { splitUsage, type Usage } from "./usage.ts";
import {
  MAX_TEXT_LENGTH,
  readFirstWord,
  readFlag,
  readHttpStatus,
  readSeconds,
  readText,
  readUsd,
} from "./values.ts";
import { nameFinishReason, nameProvider } from "./vocabulary.ts";

/** The dialects, most particular first: the first that matches is taken. */
export const DIALECTS: readonly Dialect[] = [ANTHROPIC_SDK, OTEL_OPENAI_JS, OTEL_GENAI];

/**
 * Attributes of this prefix, on spans or resources, become tags of the call. A tag is stored because
 * its sender asked for it, whatever its name; only text too long for a tag counts as content.
 */
export const TAG_PREFIX = "spanledger.tag.";

/** A span open for longer has a wrong end, and one of them would swamp every sum: 30 days, ns. */
const MAX_DURATION_NS = 30n * 86_400n * 1_000_000_000n;

/** Logfire sends an early copy of every span, with a span id of its own (dialects.md 1.1). */
const PENDING_COPY = registerKeys("logfire.span_type");

export interface NormalizeOptions {
  readonly project_id: string;
  /** Keep prompts and answers. Off by default: they are dropped here, before anything is stored. */
  readonly capture_content: boolean;
}

const NO_PARENT = new Uint8Array(8);
const SERVER_STATUSES: readonly SpanStatus[] = ["unset", "ok", "error"];

/** What all spans of one scope share. */
interface Context {
  readonly options: NormalizeOptions;
  readonly scope: Scope;
  readonly resource: Attributes;
  readonly resource_tags: Attributes;
  readonly service_name: string;
  readonly environment: string;
}

/** Values of the span at hand; one for the process, refilled for each span. */
const values = new SlotValues();

/** Normalizes the spans of one scope, in order. */
export function normalizeScope(scope_spans: ScopeSpans, options: NormalizeOptions): Span[] {
  const { resource } = scope_spans;
  const context: Context = {
    options,
    scope: scope_spans.scope,
    resource: options.capture_content ? resource : withoutContent(resource),
    resource_tags: readTags(resource, options),
    service_name: readText(resource.get("service.name")) ?? "",
    environment:
      readText(resource.get("deployment.environment.name")) ??
      readText(resource.get("deployment.environment")) ??
      "",
  };
  return scope_spans.spans.map((span) => normalizeSpan(span, context));
}

function normalizeSpan(decoded: DecodedSpan, context: Context): Span {
  values.fill(decoded.attributes);
  const span = copySpan(decoded, context);
  const dialect = DIALECTS.find((candidate) => candidate.matches(context.scope, values));
  const other_client = nameOtherClient(context.scope, values);
  if (dialect === undefined) {
    if (other_client !== undefined) {
      span.reason = `a span of ${other_client}, which this version does not read`;
    }
    return span;
  }
  applyDialect(span, decoded, dialect, other_client);
  if (values.first(PENDING_COPY) === "pending_span") disown(span);
  return span;
}

/** The span as sent, with nothing known about a model call. */
function copySpan(decoded: DecodedSpan, context: Context): Span {
  const { options, scope } = context;
  const tags = readTags(decoded.attributes, options);
  const keep = options.capture_content;
  return {
    project_id: options.project_id,
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
    ttft_ns: null,
    tokens: TOKEN_CLASSES.map(() => null),
    usage_status: "none",
    provider_calls: null,
    cost: TOKEN_CLASSES.map(() => null),
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
    scope_name: scope.name.slice(0, MAX_TEXT_LENGTH),
    scope_version: scope.version.slice(0, MAX_TEXT_LENGTH),
    signal: "span",
    reason: "not a GenAI span",
    attributes: keep ? decoded.attributes : withoutContent(decoded.attributes),
    resource_attributes: context.resource,
    events: keep ? decoded.events : withoutEventContent(decoded.events),
    links: keep ? decoded.links : withoutLinkContent(decoded.links),
  };
}

/** The duration, ns; 0 where the clock went back or the end is none. */
function durationOf({ start_ns, end_ns }: DecodedSpan): bigint {
  const duration_ns = end_ns - start_ns;
  return duration_ns > 0n && duration_ns <= MAX_DURATION_NS ? duration_ns : 0n;
}

function applyDialect(
  span: Span,
  decoded: DecodedSpan,
  dialect: Dialect,
  other_client: string | undefined,
): void {
  const keys = dialect.fields;
  span.dialect = dialect.name;
  span.operation = readText(values.first(keys.operation)) ?? "";
  span.request_model = readText(values.first(keys.request_model)) ?? "";
  span.response_model = readText(values.first(keys.response_model)) ?? "";
  span.provider = nameProvider(
    readText(values.first(keys.provider)),
    span.response_model === "" ? span.request_model : span.response_model,
  );
  span.response_id = readText(values.first(keys.response_id)) ?? "";
  span.finish_reason = nameFinishReason(readFirstWord(values.first(keys.finish_reason)));
  span.service_tier = readText(values.first(keys.service_tier))?.toLowerCase() ?? "";
  span.streaming = readFlag(values.first(keys.streaming)) ?? null;
  span.ttft_ns = readSeconds(values.first(keys.ttft_s)) ?? null;
  span.user_id = readText(values.first(keys.user_id)) ?? "";
  span.session_id = readText(values.first(keys.session_id)) ?? "";
  span.agent_name = readText(values.first(keys.agent_name)) ?? "";
  // Emitters write 0 when they know no price, so 0 claims nothing (dialects.md 1.6).
  span.client_cost = readUsd(values.first(keys.client_cost_usd)) || null;
  applyError(span, decoded, dialect);

  const hides_cache = dialect.hides_cache_of.has(span.provider) && span.operation !== "embeddings";
  const usage = splitUsage(values, dialect.usage, hides_cache);
  if (other_client !== undefined && dialect === OTEL_GENAI && usage.status === "reported") {
    // Its cached and reasoning tokens may stand under names of its own.
    usage.status = "estimated";
    usage.notes.push(`of a span of ${other_client} only the OpenTelemetry names are read`);
  }
  const has_model = span.request_model !== "" || span.response_model !== "";
  const { span_class, reason } = classify(
    dialect,
    decoded,
    span.operation,
    has_model,
    usage.status !== "missing",
  );
  span.span_class = span_class;
  span.reason = reason;
  if (span_class === "billable" || span_class === "aggregate") applyUsage(span, usage);
}

function applyUsage(span: Span, usage: Usage): void {
  span.tokens = usage.tokens;
  span.usage_status = span.span_class === "aggregate" ? "aggregate" : usage.status;
  span.provider_calls = span.span_class === "aggregate" ? null : 1;
  if (usage.status === "missing") {
    usage.notes.push(
      span.status === "error" ? "it failed without usage" : "nobody reported its usage",
    );
  }
  if (usage.notes.length > 0) span.reason += `; ${usage.notes.join("; ")}`;
}

/** Takes a span out of the ledger that is a copy of another. */
function disown(span: Span): void {
  span.span_class = "structure";
  span.reason = "an early copy of another span";
  span.tokens = TOKEN_CLASSES.map(() => null);
  span.usage_status = "none";
  span.provider_calls = null;
}

/** OpenAI's and Anthropic's SDKs begin the message so: "429 …", in Python "Error code: 429 - …". */
const STATUS_IN_MESSAGE = /^(?:Error code: )?([45]\d\d)\b/;

/** Error type and HTTP status: from attributes, the exception event, or the error message. */
function applyError(span: Span, decoded: DecodedSpan, dialect: Dialect): void {
  span.error_type = readText(values.first(dialect.fields.error_type)) ?? "";
  span.http_status = readHttpStatus(values.first(dialect.fields.http_status)) ?? 0;
  if (span.error_type !== "" || span.http_status >= 400) span.status = "error";
  if (span.status !== "error") return;
  const exception = decoded.events.findLast((event) => event.name === "exception")?.attributes;
  if (span.http_status === 0) {
    const message = readText(exception?.get("exception.message")) ?? "";
    const match = STATUS_IN_MESSAGE.exec(decoded.status_message) ?? STATUS_IN_MESSAGE.exec(message);
    if (match !== null) span.http_status = Number(match[1]);
  }
  if (span.error_type === "") {
    // The convention takes the status code where there is no name of an error.
    const code = span.http_status >= 400 ? String(span.http_status) : "_OTHER";
    span.error_type = readText(exception?.get("exception.type")) ?? code;
  }
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
