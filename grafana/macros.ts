/**
 * The two passes that a statement takes before ClickHouse sees it, for the tests: variables and
 * `$__conditionalAll` in the browser, the macros of time in the plugin's backend. As the plugin
 * grafana-clickhouse-datasource 4.20 and Grafana's formats of variables do it, quirks included; alerts
 * take the second pass only.
 *
 * Invariant: what neither pass knows stays as it is, for a test to find.
 */

/** What a variable holds: a text, or several; `$__all` stands for all. */
export type VariableValue = string | readonly string[];
export type VariableValues = ReadonlyMap<string, VariableValue>;

export const ALL_VALUE = "$__all";

/** The range and the step of a panel. */
export interface MacroRange {
  /** Unix ms, both inclusive for Grafana. */
  readonly from_ms: number;
  readonly to_ms: number;
  /** Width of a step, ms. */
  readonly interval_ms: number;
}

/** The arguments in the parentheses that begin at `start`; brackets in quotes count, as there. */
function argumentsAt(sql: string, start: number): string[] {
  const found: string[] = [];
  let depth = 0;
  let last = start + 1;
  for (let at = start; at < sql.length; at += 1) {
    const letter = sql[at];
    if (letter === "(") depth += 1;
    else if (letter === ")") depth -= 1;
    if (letter === "," && depth === 1) {
      found.push(sql.slice(last, at));
      last = at + 1;
    }
    if (depth === 0) {
      found.push(sql.slice(last, at));
      return found;
    }
  }
  return [];
}

const CONDITIONAL = "$__conditionalAll(";

function isAll(value: VariableValue | undefined): boolean {
  const text = String(value ?? "undefined");
  return text === "" || text === ALL_VALUE;
}

/** `$__conditionalAll(condition, $variable)`: `1=1` when the variable is all or empty. */
function expandConditional(sql: string, values: VariableValues): string {
  let text = sql;
  for (let at = text.lastIndexOf(CONDITIONAL); at !== -1; at = text.lastIndexOf(CONDITIONAL)) {
    const found = argumentsAt(text, at + CONDITIONAL.length - 1);
    const [condition = "", variable = ""] = found;
    if (found.length !== 2) return text;
    const name = /(?<=\$\{)\w+(?=\})|(?<=\$)\w+/.exec(variable.trim())?.[0];
    const phrase = name !== undefined && isAll(values.get(name)) ? "1=1" : condition;
    text = text.replace(`${CONDITIONAL}${condition},${variable})`, () => phrase);
  }
  return text;
}

/** Grafana's own stricter variant of encoding, which leaves no quote and no bracket. */
function encodeStrictly(text: string): string {
  return encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (letter) => `%${letter.charCodeAt(0).toString(16)}`,
  );
}

/** The formats of a variable that a statement may ask for; texts are quoted for SQL. */
const FORMATS: Readonly<Record<string, (texts: readonly string[], name: string) => string>> = {
  singlequote: (texts) => texts.map((text) => `'${text.replaceAll("'", "\\'")}'`).join(","),
  raw: (texts) => texts.join(","),
  text: (texts) => texts.join(" + "),
  percentencode: (texts) =>
    encodeStrictly(texts.length > 1 ? `{${texts.join(",")}}` : (texts[0] ?? "")),
  queryparam: (texts, name) => texts.map((text) => `var-${name}=${encodeStrictly(text)}`).join("&"),
};

/** Values of variables in their places; one without a format stands in quotes without escapes. */
function expandVariables(sql: string, values: VariableValues): string {
  const pattern = /\$(\w+)|\$\{(\w+)(?::([^}]+))?\}/g;
  return sql.replaceAll(
    pattern,
    (whole: string, bare?: string, braced?: string, format?: string) => {
      const value = values.get(bare ?? braced ?? "");
      if (value === undefined) return whole;
      const texts = typeof value === "string" ? [value] : value;
      if (format === undefined) return typeof value === "string" ? value : `'${texts.join("','")}'`;
      return FORMATS[format]?.(texts, bare ?? braced ?? "") ?? whole;
    },
  );
}

/** The pass of the browser: what alerts do not get. `__interval` comes with the panel. */
export function expandVariablesAndConditions(
  sql: string,
  values: VariableValues,
  range: MacroRange,
): string {
  const known = new Map<string, VariableValue>([
    ...values,
    ["__interval", `${range.interval_ms / 1000}s`],
    ["__interval_ms", String(range.interval_ms)],
    ["__from", String(range.from_ms)],
    ["__to", String(range.to_ms)],
  ]);
  return expandVariables(expandConditional(sql, values), known);
}

type Macro = (range: MacroRange, argument: string) => string;

const inSeconds = (unix_ms: number) => `toDateTime(${Math.floor(unix_ms / 1000)})`;
const inMilliseconds = (unix_ms: number) => `fromUnixTimestamp64Milli(${unix_ms})`;
const secondsOf = ({ interval_ms }: MacroRange) => Math.max(Math.floor(interval_ms / 1000), 1);

const MACROS: Readonly<Record<string, Macro>> = {
  fromTime: ({ from_ms }) => inSeconds(from_ms),
  toTime: ({ to_ms }) => inSeconds(to_ms),
  fromTime_ms: ({ from_ms }) => inMilliseconds(from_ms),
  toTime_ms: ({ to_ms }) => inMilliseconds(to_ms),
  timeFilter: ({ from_ms, to_ms }, column) =>
    `${column} >= ${inSeconds(from_ms)} AND ${column} <= ${inSeconds(to_ms)}`,
  timeFilter_ms: ({ from_ms, to_ms }, column) =>
    `${column} >= ${inMilliseconds(from_ms)} AND ${column} <= ${inMilliseconds(to_ms)}`,
  timeInterval: (range, column) =>
    `toStartOfInterval(toDateTime(${column}), INTERVAL ${secondsOf(range)} second)`,
  interval_s: (range) => String(secondsOf(range)),
};

/** Macros that have no arguments; the others are always called with one. */
const BARE = new Set(["fromTime", "toTime", "fromTime_ms", "toTime_ms", "interval_s"]);

/** The pass of the plugin's backend. */
export function expandTimeMacros(sql: string, range: MacroRange): string {
  let text = sql;
  for (const [name, macro] of Object.entries(MACROS)) {
    const pattern = new RegExp(`\\$__${name}\\b${BARE.has(name) ? "" : "(?=\\()"}`);
    for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) {
      const end = match.index + match[0].length;
      const isCalled = text[end] === "(";
      const [argument = ""] = isCalled ? argumentsAt(text, end) : [];
      const rest = isCalled ? text.slice(end + argument.length + 2) : text.slice(end);
      text = `${text.slice(0, match.index)}${macro(range, argument)}${rest}`;
    }
  }
  return text;
}

/** Both passes, as for a panel. */
export function expandPanel(sql: string, values: VariableValues, range: MacroRange): string {
  return expandTimeMacros(expandVariablesAndConditions(sql, values, range), range);
}
