/**
 * What the ledger makes of the corpus, judged: for people (`node test/corpus-report.ts`) and for
 * `docs/reference/dialects.md`.
 *
 * Invariant: a case that cannot be read at all is wrong, never left out.
 */
import { explainBodies } from "../../cli/explain.ts";
import type { CallRow } from "../../schemas/call.ts";
import { messageOf } from "../../schemas/errors.ts";
import { collectEvidence, parseBody } from "./corpus-bodies.ts";
import { judgeCase, type Outcome, type Verdict } from "./corpus-judge.ts";
import { type CorpusCase, readCorpus } from "./corpus.ts";

export interface JudgedCase {
  readonly case: CorpusCase;
  readonly rows: readonly CallRow[];
  readonly notes: readonly string[];
  readonly verdict: Verdict;
}

/** Explains all bodies of a case as one arrival and judges the rows. */
export function runCase(corpusCase: CorpusCase): JudgedCase {
  const { truth, bodies } = corpusCase;
  try {
    const { calls, notes } = explainBodies(bodies);
    const evidence = collectEvidence(bodies.map(({ signal, bytes }) => parseBody(signal, bytes)));
    const verdict = judgeCase(truth, calls, evidence);
    return { case: corpusCase, rows: calls, notes, verdict };
  } catch (error) {
    const why = `it throws: ${messageOf(error)}`;
    const finding = { grade: "wrong", why, detail: "", seq: null } as const;
    const verdict: Verdict = { outcome: "wrong", findings: [finding], pairs: [] };
    return { case: corpusCase, rows: [], notes: [], verdict };
  }
}

/** Runs the cases whose client and name contain the given texts. */
export function runCorpus(client = "", name = ""): JudgedCase[] {
  return readCorpus()
    .filter((item) => item.client.includes(client) && item.name.includes(name))
    .map(runCase);
}

/** Reasons with the number of cases that have them, most frequent first. */
export function groupReasons(cases: readonly JudgedCase[], grade: "flagged" | "wrong"): string[] {
  const counts = new Map<string, number>();
  for (const { verdict } of cases) {
    const reasons = new Set(
      verdict.findings.filter((finding) => finding.grade === grade).map(({ why }) => why),
    );
    for (const reason of reasons) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  }
  return [...counts]
    .sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1))
    .map(([reason, count]) => `${reason} (${count})`);
}

/** Cases with the given outcome, cases. */
export function countOutcome(cases: readonly JudgedCase[], outcome: Outcome): number {
  return cases.filter(({ verdict }) => verdict.outcome === outcome).length;
}

/** The cases of each client, in the order of the clients. */
export function groupByClient(cases: readonly JudgedCase[]): Map<string, JudgedCase[]> {
  return Map.groupBy(cases, (item) => item.case.client);
}

const OUTCOMES: readonly Outcome[] = ["right", "flagged", "silent", "wrong"];

/** A table with one line for each client and a sum, as text. */
export function formatSummary(cases: readonly JudgedCase[]): string {
  const line = (name: string, group: readonly JudgedCase[]) =>
    `${name.padEnd(42)}${String(group.length).padStart(6)}${OUTCOMES.map((outcome) =>
      String(countOutcome(group, outcome)).padStart(9),
    ).join("")}`;
  const lines = [
    `${"CLIENT".padEnd(42)} CASES${OUTCOMES.map((name) => name.toUpperCase().padStart(9)).join("")}`,
  ];
  for (const [client, group] of groupByClient(cases)) {
    lines.push(line(client, group));
    const wrong = groupReasons(group, "wrong");
    const flagged = groupReasons(group, "flagged");
    if (wrong.length > 0) lines.push(`    wrong:   ${wrong.join(", ")}`);
    if (flagged.length > 0) lines.push(`    flagged: ${flagged.join(", ")}`);
  }
  lines.push(line("ALL", cases));
  const wrong = groupReasons(cases, "wrong");
  if (wrong.length > 0) lines.push(...wrong.map((reason) => `    ${reason}`));
  return `${lines.join("\n")}\n`;
}

function formatRow(row: CallRow): string {
  const tokens = Object.entries(row.tokens)
    .filter(([, count]) => count !== null)
    .map(([name, count]) => `${name}=${count}`)
    .join(" ");
  const words = [
    `${row.provider ?? "-"} ${row.request_model ?? "-"} -> ${row.response_model ?? "-"}`,
    row.response_id ?? "no id",
    `${row.status}${row.http_status === null ? "" : ` ${row.http_status}`}`,
    `stream=${row.streaming} finish=${row.finish_reason ?? "-"} tier=${row.service_tier ?? "-"}`,
    `${row.usage_status} [${tokens}]`,
    `cost=${row.cost_usd ?? row.cost_status}`,
    `user=${row.user_id ?? "-"} session=${row.session_id ?? "-"} agent=${row.agent_name ?? "-"}`,
    `${row.signal}/${row.dialect}/${row.scope_name ?? "-"} dup=${row.duplicates}${row.suspected_duplicate ? " suspected" : ""}`,
    `span ${row.span_id} (${row.reason})`,
  ];
  return words.join("; ");
}

/** Everything about one case: truth, rows, and what differs. */
export function formatCase({ case: item, rows, notes, verdict }: JudgedCase): string {
  const lines = [`${verdict.outcome.toUpperCase()} ${item.id}: ${item.truth.description}`];
  lines.push(`  bodies: ${item.bodies.map(({ name }) => name).join(" ") || "none"}`);
  if (Object.keys(item.truth.context).length > 0) {
    lines.push(`  context: ${JSON.stringify(item.truth.context)}`);
  }
  if (item.truth.notes !== "") lines.push(`  note of the capture: ${item.truth.notes}`);
  for (const call of item.truth.calls) {
    const tokens = Object.entries(call.tokens ?? {})
      .filter(([, count]) => count > 0)
      .map(([name, count]) => {
        const sent = call.evidence_in_telemetry?.[name];
        return `${name}=${count}${sent === false ? "(not sent)" : ""}`;
      })
      .join(" ");
    lines.push(
      `  truth ${call.seq}: ${call.provider} ${call.api} ${call.request_model} -> ${call.response_model ?? "-"}; ` +
        `${call.response_id ?? "no id"}; ${call.http_status}; stream=${call.streaming} ` +
        `finish=${call.finish_reason ?? "-"} tier=${call.service_tier ?? "-"}; ` +
        (call.billable ? `[${tokens}]` : "not billed"),
    );
  }
  rows.forEach((row) => {
    const call = verdict.pairs.find((pair) => pair.row === row)?.call;
    lines.push(`  row -> ${call === undefined ? "none" : call.seq}: ${formatRow(row)}`);
  });
  if (rows.length === 0) lines.push("  no rows");
  for (const { grade, why, detail, seq } of verdict.findings) {
    lines.push(
      `  ${grade}${seq === null ? "" : ` (call ${seq})`}: ${why}${detail && `: ${detail}`}`,
    );
  }
  for (const note of notes) lines.push(`  note: ${note}`);
  return `${lines.join("\n")}\n`;
}
