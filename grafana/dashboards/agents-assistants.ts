/**
 * What coding assistants do for whom: Claude Code, Codex, Gemini CLI and GitHub Copilot.
 *
 * Invariant: an assistant is told by the dialect that its telemetry speaks, and what it spends is in all
 * other panels as well. Its own metrics are compared elsewhere and never added.
 */
import { TOKEN_CLASSES } from "../../schemas/tokens.ts";
import { callFiltersSql, textSql } from "../filters.ts";
import { type FieldStyle, series, tablePanel } from "../panels.ts";
import { series as points, table } from "../query.ts";
import { CLASS_STYLES } from "../style.ts";
import { measureSql, PICKED_RANGE, startOfStep } from "../usage-sql.ts";
import { IN_PICKED_RANGE, sumsOfCalls } from "./explorer-spans.ts";

/** Assistants by the dialect that collector/normalize gives their spans and events. */
const NAMES = {
  "claude-code": "Claude Code",
  codex: "Codex",
  "gemini-cli": "Gemini CLI",
  copilot: "GitHub Copilot",
} as const;

/** Prices of a seat a month, US dollars, that use can be compared with. */
export const SEAT_PRICES = ["200", "100", "20"];

const list = (texts: readonly string[]) => texts.map((text) => `'${text}'`).join(", ");
const OF_ASSISTANTS = `span.dialect IN (${list(Object.keys(NAMES))})`;
const ASSISTANT = `transform(toString(span.dialect), [${list(Object.keys(NAMES))}], [${list(Object.values(NAMES))}], toString(span.dialect))`;

/** Calls of assistants that fit the filters. */
const THEIR_CALLS = `${callFiltersSql()}
    AND ${IN_PICKED_RANGE}
    AND ${OF_ASSISTANTS}`;

/** Events of a person typing: each assistant has one. */
const IS_PROMPT = "(span.signal = 'log' AND endsWith(toString(span.name), 'user_prompt'))";

const COST = measureSql("cost_usd");
const SUMMED = {
  Sessions: measureSql("sessions"),
  Users: measureSql("unique_users"),
  Calls: measureSql("calls"),
  Spend: COST,
  "Spend a session": measureSql("cost_per_session_usd"),
  "Input tokens": measureSql("input_total"),
  "Output tokens": measureSql("output_total"),
  "Read from cache": measureSql("cache_hit_share"),
  Failed: measureSql("error_rate"),
};

function columns(measures: Readonly<Record<string, string>>): string {
  return Object.entries(measures)
    .map(([name, sql]) => `  ${sql} AS "${name}"`)
    .join(",\n");
}

const ASSISTANTS_SQL = `SELECT
  sums.assistant AS "Assistant",
  sums.prompts AS "Prompts",
${columns(SUMMED)}
FROM (
  SELECT
    ${ASSISTANT} AS assistant,
    countIf(${IS_PROMPT}) AS prompts,
    ${sumsOfCalls(Object.values(SUMMED))}
  FROM ledger_spans AS span
  WHERE ${OF_ASSISTANTS}
    AND ${callFiltersSql(["service", "environment", "user"])}
    AND ${IN_PICKED_RANGE}
    AND (${IS_PROMPT} OR (${callFiltersSql(["provider", "model"])}))
  GROUP BY assistant
  HAVING calls > 0 OR prompts > 0
) AS sums
ORDER BY "Spend" DESC`;

const CLASSES = Object.fromEntries(
  TOKEN_CLASSES.map((name) => [CLASS_STYLES[name].label, measureSql("tokens", name)]),
);

const TOKENS_SQL = `SELECT
  sums.time AS time,
${columns(CLASSES)}
FROM (
  SELECT
    ${startOfStep("span.ts")} AS time,
    ${sumsOfCalls(Object.values(CLASSES))}
  FROM ledger_spans AS span
  WHERE ${THEIR_CALLS}
  GROUP BY time
) AS sums
ORDER BY time`;

const LEADERS = {
  Spend: COST,
  Sessions: SUMMED.Sessions,
  Calls: SUMMED.Calls,
  "Output tokens": SUMMED["Output tokens"],
  "Read from cache": SUMMED["Read from cache"],
};

/** A range as a share of a month of 30 days. */
const MONTHS = `((${PICKED_RANGE.to} - ${PICKED_RANGE.from}) / 2592000000)`;

const LEADERS_SQL = `SELECT
  sums.person AS "User",
  sums.assistants AS "Assistants",
${columns(LEADERS)},
  toFloat64(${COST}) / ${MONTHS} / toFloat64OrNull(\${seat_usd:singlequote}) AS "Times a seat"
FROM (
  SELECT
    ${textSql("span.user_id")} AS person,
    arrayStringConcat(arraySort(groupUniqArray(${ASSISTANT})), ', ') AS assistants,
    ${sumsOfCalls([...Object.values(LEADERS), COST])}
  FROM ledger_spans AS span
  WHERE ${THEIR_CALLS}
  GROUP BY person
  HAVING calls > 0
) AS sums
ORDER BY "Spend" DESC
LIMIT 50`;

/** Words of assistants for a tool that may run. */
const ACCEPTED = [
  "accept",
  "accepted",
  "auto_accept",
  "approved",
  "approved_for_session",
  "modify",
];

const DECISIONS_SQL = `SELECT
  ${ASSISTANT} AS "Assistant",
  coalesce(nullIf(span.attributes['tool_name'], ''), nullIf(span.attributes['function_name'], ''), '(none)') AS "Tool",
  countIf(lower(span.attributes['decision']) IN (${list(ACCEPTED)})) AS "Accepted",
  count() - "Accepted" AS "Rejected",
  "Accepted" / count() AS "Accepted of all",
  countIf(startsWith(lower(span.attributes['source']), 'user')) AS "Asked a person"
FROM ledger_spans AS span
WHERE ${OF_ASSISTANTS}
  AND ${callFiltersSql(["service", "environment", "user"])}
  AND ${IN_PICKED_RANGE}
  AND signal = 'log'
  AND span.attributes['decision'] != ''
GROUP BY "Assistant", "Tool"
ORDER BY count() DESC
LIMIT 50`;

const CLASS_FIELDS: Readonly<Record<string, FieldStyle>> = Object.fromEntries(
  TOKEN_CLASSES.map((name) => [
    CLASS_STYLES[name].label,
    { colour: CLASS_STYLES[name].colour as `#${string}` },
  ]),
);

/** What each assistant does. */
export const ASSISTANTS = [
  tablePanel({
    id: 20,
    title: "Coding assistants",
    description:
      "Claude Code, Codex, Gemini CLI and GitHub Copilot by what they spend. Prompts are those that people typed, where the assistant tells of them. Lines and commits are in their metrics, which are not stored.",
    width: 14,
    unit: "count",
    targets: [table(ASSISTANTS_SQL)],
    fields: {
      Spend: { unit: "usd_exact", cell: "bar", colour: "cost" },
      "Spend a session": { unit: "usd_exact" },
      "Input tokens": { unit: "tokens" },
      "Output tokens": { unit: "tokens" },
      "Read from cache": { unit: "share", decimals: 1 },
      Failed: { unit: "share", decimals: 1 },
    },
    no_value: "No coding assistant sends here",
  }),
  series(
    {
      id: 21,
      title: "Tokens of coding assistants",
      description: "Tokens by class, disjoint; classes that nobody reports are left out.",
      width: 10,
      unit: "tokens",
      fields: CLASS_FIELDS,
      targets: [points(TOKENS_SQL)],
      no_value: "No coding assistant sends here",
    },
    { draw: "bars", stack: true, calcs: ["sum"] },
  ),
];

/** Whom they serve, and what they were allowed to do. */
export const DECISIONS = [
  tablePanel({
    id: 22,
    title: "Users of coding assistants",
    description:
      "People by what their assistants spend. Times a seat: that spend at list prices, carried on for 30 days, over the price of a seat as picked above; over 1 a seat pays.",
    width: 12,
    unit: "count",
    targets: [table(LEADERS_SQL)],
    fields: {
      User: { width: 180 },
      Spend: { unit: "usd_exact", cell: "bar", colour: "cost" },
      "Output tokens": { unit: "tokens" },
      "Read from cache": { unit: "share", decimals: 1 },
      "Times a seat": { unit: "none", decimals: 2 },
    },
    no_value: "No coding assistant sends here",
  }),
  tablePanel({
    id: 23,
    title: "Decisions on tool use",
    description:
      "Edits and other tool uses that were accepted or rejected, by the events of assistants that tell it, and how often a person was asked.",
    width: 12,
    unit: "count",
    targets: [table(DECISIONS_SQL)],
    fields: {
      Accepted: { colour: "good" },
      Rejected: { colour: "error" },
      "Accepted of all": { unit: "share", decimals: 0, cell: "bar", min: 0, max: 1 },
    },
    no_value: "No coding assistant tells of decisions",
  }),
];
