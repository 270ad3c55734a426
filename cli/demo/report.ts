/**
 * What the demo prints at the end: what was sent, and where to look at it.
 *
 * Invariant: calls, tokens and errors only. Money is for the ledger to say, so that the demo is no
 * second price book.
 */
import type { DemoOptions } from "./options.ts";
import type { SendOutcome } from "./sender.ts";
import type { CallTotals, Totals } from "./totals.ts";

const COLUMNS: readonly (readonly [title: string, field: keyof CallTotals])[] = [
  ["calls", "calls"],
  ["errors", "errors"],
  ["no usage", "calls_missing_usage"],
  ["input", "input_total"],
  ["cache read", "cache_read"],
  ["cache write", "cache_write"],
  ["output", "output_total"],
  ["reasoning", "output_reasoning"],
];

/** A whole number with commas between thousands. */
export function formatCount(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** The totals by model as a table, lines ended. */
export function formatTotals(totals: Totals): string {
  const rows = [
    ["model", ...COLUMNS.map(([title]) => title)],
    ...[...totals.byModel(), ["total", totals.all] as const].map(([name, sums]) => [
      name,
      ...COLUMNS.map(([, field]) => formatCount(sums[field])),
    ]),
  ];
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  return rows
    .map((row) =>
      row
        .map((cell, column) =>
          column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
        )
        .join("  "),
    )
    .map((line) => `${line}\n`)
    .join("");
}

/** When what was sent happened, Unix ms. */
export interface SentWindow {
  readonly start_ms: number;
  readonly end_ms: number;
}

/** The whole report. `all_arrived` false: the table says what was meant to arrive. */
export function formatReport(
  totals: Totals,
  window: SentWindow,
  options: DemoOptions,
  { has_key, all_arrived }: { readonly has_key: boolean; readonly all_arrived: boolean },
): string {
  const { all, traces, spans } = totals;
  const span_of_time = `${formatInstant(window.start_ms)} to ${formatInstant(window.end_ms)}`;
  return [
    `${all_arrived ? "Sent" : "Tried to send"} ${formatCount(all.calls)} model calls in ${formatCount(traces)} requests ` +
      `(${formatCount(spans)} spans), ${span_of_time}:\n`,
    "\n",
    formatTotals(totals),
    "\n",
    "Input includes the cached tokens and output the reasoning. Calls that a provider refused have no\n",
    "usage and cost nothing. Agents repeat the usage of their calls; the ledger counts it once.\n",
    "\n",
    "Look at it (when the query API is not on port 8080, with its own):\n",
    `  http://${new URL(options.endpoint).hostname}:8080/\n`,
    `  ${lookCommand(window, options, has_key)}\n`,
  ].join("");
}

const DAY_MS = 86_400_000;

/** The command that asks the query API for the same table. */
export function lookCommand(window: SentWindow, options: DemoOptions, has_key: boolean): string {
  const { hostname } = new URL(options.endpoint);
  // The API answers for the last 24 hours unless asked otherwise.
  const older = window.end_ms - window.start_ms >= DAY_MS;
  const from = older ? `&from=${formatInstant(window.start_ms)}` : "";
  const key = has_key ? '-H "Authorization: Bearer $SPANLEDGER_API_KEY" ' : "";
  return `curl ${key}'http://${hostname}:8080/v1/usage?group_by=model${from}'`;
}

/** RFC 3339, whole seconds, rounded down. */
function formatInstant(unix_ms: number): string {
  return `${new Date(unix_ms).toISOString().slice(0, 19)}Z`;
}

/** What went wrong with sending; null when every span was acknowledged. */
export function formatFailure(outcome: SendOutcome): string | null {
  const { started_spans, acknowledged_spans, failed_spans, rejected_spans, reasons } = outcome;
  const missing = started_spans - acknowledged_spans;
  if (missing === 0) return null;
  const lost = missing - failed_spans - rejected_spans;
  const parts = [
    [failed_spans, "failed to be sent"],
    [rejected_spans, "were rejected by the collector"],
    [lost, "got lost in the SDK"],
  ] as const;
  const told = parts
    .filter(([count]) => count !== 0)
    .map(([count, what]) => `${formatCount(count)} ${what}`);
  return [
    `${formatCount(missing)} of ${formatCount(started_spans)} spans did not arrive: ` +
      `${told.join(", ")}. The ledger may hold less than this table.\n`,
    ...[...reasons].map((reason) => `  ${reason}\n`),
  ].join("");
}
