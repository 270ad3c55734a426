/**
 * Turns what either encoding found in a request into the result of its signal.
 *
 * Invariant: the counts of a result are those of its lists.
 */
import type { DecodedLogRecord, DecodedLogs } from "../../schemas/logs.ts";
import type { DecodedMetric, DecodedMetrics } from "../../schemas/metrics.ts";
import type { Attributes, DecodedSpan, DecodedTraces, Scope } from "../../schemas/span.ts";
import type { Notes } from "./notes.ts";

/** The items of one scope under one resource: spans, log records or metrics, at least one. */
export interface Scoped<Item> {
  resource: Attributes;
  scope: Scope;
  items: Item[];
}

/** What a request holds, and what is said of it. */
export interface Request<Item> {
  readonly scoped: Scoped<Item>[];
  readonly notes: Notes;
}

/** The result of a traces export. */
export function toTraces({ scoped, notes }: Request<DecodedSpan>): DecodedTraces {
  return {
    scope_spans: scoped.map(({ resource, scope, items }) => ({ resource, scope, spans: items })),
    span_count: scoped.reduce((count, { items }) => count + items.length, 0),
    rejected_spans: notes.rejected_count,
    rejections: notes.rejections,
    warnings: notes.warnings,
  };
}

/** The result of a logs export. */
export function toLogs({ scoped, notes }: Request<DecodedLogRecord>): DecodedLogs {
  return {
    scope_logs: scoped.map(({ resource, scope, items }) => ({ resource, scope, records: items })),
    record_count: scoped.reduce((count, { items }) => count + items.length, 0),
    rejected_records: notes.rejected_count,
    rejections: notes.rejections,
    warnings: notes.warnings,
  };
}

/** The result of a metrics export. */
export function toMetrics({ scoped, notes }: Request<DecodedMetric>): DecodedMetrics {
  const metrics = scoped.flatMap(({ items }) => items);
  return {
    scope_metrics: scoped.map(({ resource, scope, items }) => ({
      resource,
      scope,
      metrics: items,
    })),
    point_count: metrics.reduce((count, { points }) => count + points.length, 0),
    rejected_points: notes.rejected_count,
    rejections: notes.rejections,
    warnings: notes.warnings,
  };
}
