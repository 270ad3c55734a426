/**
 * Decides whether a statement may run: first by its words, then by its tree, both of the text that the
 * engine made of what was sent. Each check alone would do; an attack has to pass both, and then it meets
 * a read-only session with a filter on every table (`clickhouse/reader.ts`).
 *
 * Invariant: everything is refused that is not known to be harmless: statements, kinds of nodes, tables,
 * functions.
 */
import type { FunctionRow } from "../clickhouse/reader.ts";
import { refuse } from "./errors.ts";
import { isOffered, PARAMETER_FUNCTION } from "./functions.ts";
import { type OnViews, putViews } from "./plain-views.ts";
import { type Node, readSyntaxTree } from "./syntax-tree.ts";
import type { Visible } from "./tables.ts";
import { type Token, tokenize } from "./tokens.ts";

/** A statement whose words are harmless. */
export interface CheckedText extends OnViews {
  /** What is to run: without the clause FORMAT, and with views in place of tables. */
  readonly statement: string;
  /** The format that the clause named; null without one. */
  readonly format: string | null;
  /** Whether its tree has to be looked at; not for the few forms that are known to the last word. */
  readonly is_select: boolean;
}

/** Words that no statement may have, and what to do about it. */
const REFUSED_WORDS: Readonly<Record<string, string>> = {
  SETTINGS: "Settings cannot be changed by a statement; leave the clause SETTINGS out.",
  OUTFILE: "Nothing is written to files; leave INTO OUTFILE out, the answer is the file.",
  INTO: "Nothing is written; only SELECT is answered.",
  PREWHERE: "Write WHERE in place of PREWHERE.",
  APPLY: "Write the columns out in place of APPLY.",
  NATURAL: "Write the columns of the join in USING in place of NATURAL.",
  RECURSIVE: "WITH RECURSIVE is not offered.",
};

/** Words that stand in front of a parenthesis without being functions. */
const WORDS_BEFORE_PARENTHESIS: ReadonlySet<string> = new Set(
  (
    "ALL AND ANY AS ASC BETWEEN BY CASE COLUMNS CUBE DESC DISTINCT DIV ELSE EXCEPT EXISTS FILL FROM " +
    "GLOBAL HAVING ILIKE IN INTERPOLATE INTERSECT IS JOIN LIKE LIMIT MOD NOT OFFSET ON OR OVER QUALIFY " +
    "REGEXP REPLACE ROLLUP SELECT SETS STEP THEN TO UNION USING WHEN WHERE WITH"
  ).split(" "),
);

/** Types of values whose bytes the engine reads without checking. */
const UNSAFE_TYPE = /AggregateFunction/i;

/** Names of functions that are not offered, in lower case: they may not be named as a value either. */
export function listRefusedNames(functions: readonly FunctionRow[]): ReadonlySet<string> {
  return new Set(functions.flatMap(({ name }) => (isOffered(name) ? [] : [name.toLowerCase()])));
}

/** Checks the words of a statement in the engine's own form. Throws ClickHouseError. */
export function checkText(
  canonical: string,
  visible: Visible,
  refused_names: ReadonlySet<string>,
): CheckedText {
  const all = tokenize(canonical);
  const { tokens, format, end } = cutFormat(all, canonical.length);
  const statement = canonical.slice(0, end).trimEnd();
  const form = readForm(tokens);
  if (form === "select") checkWords(tokens, visible, refused_names);
  else if (form === "table") checkTable(tokens.slice(2), visible);
  const is_select = form === "select";
  const run = is_select ? putViews(statement, tokens, visible) : { statement, views: [] };
  return { ...run, format, is_select };
}

/** A clause FORMAT at the end is not a part of what runs. */
function cutFormat(
  tokens: readonly Token[],
  length: number,
): { tokens: readonly Token[]; format: string | null; end: number } {
  const [clause, name] = tokens.slice(-2);
  if (
    clause?.kind === "word" &&
    clause.text === "FORMAT" &&
    (name?.kind === "word" || name?.kind === "name")
  ) {
    return { tokens: tokens.slice(0, -2), format: name.text, end: clause.start };
  }
  return { tokens, format: null, end: length };
}

const WORD_FORMS: readonly (readonly [form: "select" | "table" | "show", RegExp])[] = [
  ["select", /^(?:SELECT|WITH|\()(?: |$)/],
  ["table", /^(?:DESCRIBE TABLE|EXISTS TABLE|EXISTS VIEW) n(?: \. n)?$/],
  ["show", /^SHOW (?:TABLES(?: FROM n)?|DATABASES)(?: (?:NOT )?I?LIKE s)?(?: LIMIT d)?$/],
];

/** Letters that stand for what is not a keyword. */
const LETTERS: Readonly<Record<string, string>> = {
  name: "n",
  string: "s",
  number: "d",
  parameter: "p",
};
const KEYWORD =
  /^(?:SELECT|WITH|DESCRIBE|TABLE|EXISTS|VIEW|SHOW|TABLES|FROM|DATABASES|NOT|I?LIKE|LIMIT)$/;

function readForm(tokens: readonly Token[]): "select" | "table" | "show" {
  const shape = tokens
    .slice(0, 12)
    .map(({ kind, text }) =>
      kind === "word" && !KEYWORD.test(text) ? "n" : (LETTERS[kind] ?? text),
    )
    .join(" ");
  const form = WORD_FORMS.find(([, pattern]) => pattern.test(shape))?.[0];
  if (form !== undefined && (form === "select" || tokens.length <= 12)) return form;
  throw refuse(
    "READONLY",
    "Only SELECT, DESCRIBE TABLE, EXISTS TABLE, SHOW TABLES and SHOW DATABASES are answered.",
  );
}

/** The parts of a name with dots between them, as in DESCRIBE TABLE. */
function checkTable(tokens: readonly Token[], visible: Visible): void {
  checkTableName(
    tokens.filter(({ kind }) => kind !== "sign").map(({ text }) => text),
    visible,
  );
}

function checkWords(
  tokens: readonly Token[],
  visible: Visible,
  refused_names: ReadonlySet<string>,
): void {
  for (const [place, token] of tokens.entries()) {
    const { kind, text } = token;
    if ((kind === "string" || kind === "parameter") && UNSAFE_TYPE.test(text)) {
      throw unsafeType();
    }
    if (kind === "parameter" && /identifier/i.test(text)) {
      throw refuse(
        "ACCESS_DENIED",
        "Names of tables and columns cannot be parameters; write them out.",
      );
    }
    if (kind !== "word" && kind !== "name") continue;
    const before = tokens[place - 1];
    const after = tokens[place + 1];
    checkKeyword(token, before);
    if (isSign(after, "(")) checkCall(token);
    else if (!isSign(before, ".") && !isSign(after, ".") && !visible.columns.has(text)) {
      // A function can be handed over by its name: arrayMap(file, [...]).
      if (refused_names.has(text.toLowerCase())) throw notOffered(text);
    }
    checkHidden(token, isSign(after, ".") ? tokens[place + 2] : undefined, visible);
  }
}

function unsafeType(): Error {
  return refuse("ACCESS_DENIED", "States of aggregate functions are not read from values.");
}

function isSign(token: Token | undefined, text: string): boolean {
  return token?.kind === "sign" && token.text === text;
}

function checkKeyword({ kind, text }: Token, before: Token | undefined): void {
  if (kind !== "word" || isSign(before, ".")) return;
  const advice = Object.hasOwn(REFUSED_WORDS, text.toUpperCase())
    ? REFUSED_WORDS[text.toUpperCase()]
    : undefined;
  if (advice !== undefined) throw refuse("READONLY", advice);
}

function checkCall({ kind, text }: Token): void {
  if (kind === "word" && WORDS_BEFORE_PARENTHESIS.has(text)) return;
  if (!isOffered(text)) throw notOffered(text);
}

function notOffered(name: string): Error {
  return refuse(
    "ACCESS_DENIED",
    `The function ${name.slice(0, 60)} is not offered; this endpoint has computations and aggregates, ` +
      "and no table functions.",
  );
}

/** A name that belongs to a table of ours which is not shown, or to another database. */
function checkHidden({ text }: Token, member: Token | undefined, visible: Visible): void {
  if (visible.hidden.has(text) && !visible.columns.has(text)) throw unknownTable(text);
  if (visible.is_partial && text.startsWith("_")) {
    throw refuse(
      "ACCESS_DENIED",
      `${text.slice(0, 60)} would tell where rows lie among those of others.`,
    );
  }
  if (member === undefined) return;
  const is_other = /^information_schema$/i.test(text);
  const is_system = text === "system" && !visible.system_tables.has(member.text);
  if (is_other || is_system) throw unknownTable(`${text}.${member.text}`);
}

function unknownTable(name: string): Error {
  return refuse(
    "UNKNOWN_TABLE",
    `There is no table ${name.slice(0, 100)} here. SHOW TABLES names those that there are.`,
  );
}

function checkTableName(parts: readonly string[], visible: Visible): void {
  const [first = "", second] = parts;
  // A name without a table of ours behind it is one of WITH, or the engine finds nothing.
  const is_known =
    parts.length === 1
      ? visible.tables.has(first) || !visible.hidden.has(first)
      : parts.length === 2 &&
        second !== undefined &&
        ((first === visible.database && visible.tables.has(second)) ||
          (first === "system" && visible.system_tables.has(second)));
  if (!is_known) throw unknownTable(parts.join("."));
}

/** Kinds of nodes of a SELECT; `ColumnsApplyTransformer`, which hides a function, is not among them. */
const NODE_TYPES: ReadonlySet<string> = new Set(
  (
    "SelectWithUnionQuery SelectIntersectExceptQuery SelectQuery ExpressionList Subquery WithElement " +
    "TablesInSelectQuery TablesInSelectQueryElement TableExpression TableIdentifier TableJoin ArrayJoin " +
    "SampleRatio Function Literal Identifier QueryParameter OrderByElement InterpolateElement " +
    "WindowDefinition WindowListElement Asterisk QualifiedAsterisk ColumnsRegexpMatcher " +
    "ColumnsListMatcher QualifiedColumnsRegexpMatcher QualifiedColumnsListMatcher " +
    "ColumnsTransformerList ColumnsExceptTransformer ColumnsReplaceTransformer " +
    "ColumnsReplaceTransformer::Replacement"
  ).split(" "),
);

/** Functions whose second argument is a type; one that is computed could be any. */
const CASTS = /^_?cast$|^accuratecast/i;
const MATCHERS = /^(?:Qualified)?(?:Asterisk$|Columns\w*Matcher$)/;

/** Checks the tree of a SELECT as `EXPLAIN AST` prints it. Throws ClickHouseError. */
export function checkTree(printed: string, visible: Visible): void {
  const nodes = readSyntaxTree(printed);
  const root = nodes[0];
  if (root?.type !== "SelectWithUnionQuery" || root.children.length !== 1) {
    throw refuse("READONLY", "Only a SELECT without INTO, FORMAT and SETTINGS is answered.");
  }
  for (const node of nodes) {
    if (!NODE_TYPES.has(node.type)) {
      throw refuse("ACCESS_DENIED", `This endpoint does not take ${node.type.slice(0, 60)}.`);
    }
    if (UNSAFE_TYPE.test(node.text)) throw unsafeType();
    if (node.type === "TableIdentifier") checkTableNode(node, visible);
    if (node.type === "Function") checkFunction(node);
  }
  if (visible.is_partial) checkSystemColumns(nodes, visible);
}

function checkTableNode({ text }: Node, visible: Visible): void {
  const parts = text.split(".");
  checkTableName(parts, visible);
  // The views that stand for our tables have no database.
  if (visible.plain_columns.size > 0 && parts[0] === visible.database) throw unknownTable(text);
}

/** Functions whose first argument names another, which is a text in the tree. */
const REDUCERS = /^arrayreduce/i;

function checkReducer({ children }: Node): void {
  const named = children[0]?.children[0];
  const name = /^'([A-Za-z]\w*)/.exec(named?.type === "Literal" ? named.text : "")?.[1];
  if (name === undefined || !isOffered(name)) throw notOffered(name ?? "that is computed");
}

function checkFunction(node: Node): void {
  const { text, parent, children } = node;
  if (parent?.type === "TableExpression") {
    throw refuse(
      "ACCESS_DENIED",
      `The table function ${text.slice(0, 60)} is not offered; this endpoint has no table functions.`,
    );
  }
  if (text !== PARAMETER_FUNCTION && !isOffered(text)) throw notOffered(text);
  if (REDUCERS.test(text)) checkReducer(node);
  const type = CASTS.test(text) ? children[0]?.children[1] : undefined;
  if (type !== undefined && type.type !== "Literal") {
    throw refuse("ACCESS_DENIED", "The type of a CAST has to be written out.");
  }
}

/** What `system` tells of all projects together is not for one of them. */
function checkSystemColumns(nodes: readonly Node[], visible: Visible): void {
  const isAbout = ({ type, text }: Node) =>
    (type === "TableIdentifier" || type === "Identifier") &&
    /^system\.(?:tables|columns|databases)(?:\.|$)/.test(text);
  if (!nodes.some(isAbout)) return;
  // A lambda with the name of a function is called in its place.
  const is_renamed = nodes.some(({ alias }) => alias.toLowerCase() === "count");
  for (const node of nodes) {
    const is_counted = !is_renamed && node.parent?.parent?.text.toLowerCase() === "count";
    const is_all =
      (MATCHERS.test(node.type) && !is_counted) ||
      (node.type === "Identifier" && /^system\.\w+$/.test(node.text));
    if (is_all) {
      throw refuse("ACCESS_DENIED", "Name the columns of system tables, without an asterisk.");
    }
    const hidden = node.text.split(".").find((part) => visible.hidden_system_columns.has(part));
    if (node.type === "Identifier" && hidden !== undefined) {
      throw refuse("ACCESS_DENIED", `The column ${hidden} tells of all projects together.`);
    }
  }
}
