/**
 * From a question to the bytes of its answer: the engine parses it in one session, its words and its tree
 * are checked, and then it runs in another; both are opened for it and closed after it.
 *
 * Invariant: what runs is the text whose tree was checked, and that text is the engine's own rendering of
 * what was sent, with views in place of tables; what was sent reaches the engine only as the value of a bound parameter.
 */
import { errorCode, formatParam } from "../clickhouse/engine.ts";
import type {
  Catalog,
  OpenReader,
  ReaderLimits,
  ReaderScope,
  ReaderSession,
} from "../clickhouse/reader.ts";
import { messageOf, PermanentError } from "../schemas/errors.ts";
import { ClickHouseError, fromEngine, refuse } from "./errors.ts";
import { checkText, checkTree } from "./gate.ts";
import { HELLO, writeHello } from "./hello.ts";
import type { OnViews } from "./plain-views.ts";
import { checkFormat, type Question } from "./question.ts";
import type { Visible } from "./tables.ts";

/** The parameter that a statement is parsed as. A client that uses the name sees its own statement. */
const STATEMENT_PARAM = "spanledger_statement";
const PARSE = `SELECT formatQuerySingleLine({${STATEMENT_PARAM}:String})`;

/** What questions are answered with. */
export interface Sources {
  readonly open: OpenReader;
  readonly catalog: Catalog;
  /** Functions that may not be named. */
  readonly refused_names: ReadonlySet<string>;
  /** Of the operator; a question may have lower ones. */
  readonly limits: ReaderLimits;
}

/** The bytes of an answer and their form. */
export interface Answer {
  readonly bytes: Uint8Array;
  readonly format: string;
}

/** Answers a question with what is visible. Throws ClickHouseError. */
export async function answerQuestion(
  question: Question,
  visible: Visible,
  sources: Sources,
): Promise<Answer> {
  const checked = await useReader(sources, parsingScope(question, sources), (session) =>
    checkStatement(session, question, visible, sources),
  );
  if ("bytes" in checked) return checked;
  const { statement, format, views } = checked;
  const scope = {
    filters: visible.filters,
    is_partial: visible.is_partial,
    views,
    params: question.params,
    settings: question.settings,
    limits: question.limits,
  };
  const run = (uses_index: boolean) =>
    useReader(sources, { ...scope, uses_index }, (session) => tell(session.run(statement, format)));
  const bytes = await run(true).catch((error: unknown) => {
    if (visible.is_partial && mayBeOfIndex(error)) return run(false);
    throw error;
  });
  // The engine counts what is in memory, and not at all without a table; text may be far longer.
  if (bytes.length > question.limits.max_result_bytes) {
    throw refuse(
      "TOO_MANY_ROWS_OR_BYTES",
      "The answer is too long: ask for fewer rows or columns.",
    );
  }
  return { bytes, format };
}

/** Errors of time, memory and length, which no other way of reading would mend. */
const LIMIT_ERRORS: ReadonlySet<number> = new Set([158, 159, 241, 307, 396]);

/**
 * Whether an error can come from bounds in the index, which hidden rows are among: `intDiv(1, toDate(ts) -
 * day)` fails when another project has a part of that day. Read without the index, only rows that are seen
 * can fail.
 */
function mayBeOfIndex(error: unknown): boolean {
  return error instanceof ClickHouseError && !LIMIT_ERRORS.has(error.number);
}

/**
 * A session to parse in. It has nothing of what a client sets but the values of its parameters: a limit
 * of rows would cut the tree that is checked.
 */
function parsingScope(question: Question, { catalog, limits }: Sources): ReaderScope {
  const statement = formatParam(question.statement);
  const tables = [...catalog.tables.keys()].map((table) => [`${catalog.database}.${table}`, "0"]);
  return {
    filters: Object.fromEntries(tables) as Record<string, string>,
    is_partial: true,
    uses_index: true,
    views: [],
    params: { ...question.params, [STATEMENT_PARAM]: statement },
    settings: {},
    limits,
  };
}

/** The statement that may run, and the format of its answer; or the answer itself. */
async function checkStatement(
  session: ReaderSession,
  question: Question,
  visible: Visible,
  { catalog, refused_names }: Sources,
): Promise<Answer | (OnViews & { readonly format: string })> {
  const canonical = await readText(session, PARSE);
  const { client_revision, format: wanted } = question;
  if (canonical === HELLO && wanted === "Native" && client_revision > 0) {
    return { bytes: writeHello(catalog.version, client_revision), format: wanted };
  }
  const { statement, views, format, is_select } = checkText(canonical, visible, refused_names);
  if (is_select) checkTree(await readText(session, `EXPLAIN AST ${statement}`), visible);
  return { statement, views, format: format === null ? wanted : checkFormat(format) };
}

async function useReader<Result>(
  { open }: Sources,
  scope: ReaderScope,
  job: (session: ReaderSession) => Promise<Result>,
): Promise<Result> {
  const session = await tell(open(scope));
  try {
    return await job(session);
  } finally {
    session.close();
  }
}

async function readText(session: ReaderSession, sql: string): Promise<string> {
  const bytes = await tell(session.run(sql, "TabSeparatedRaw"));
  return Buffer.from(bytes).toString("utf8").trimEnd();
}

/** Waits for the engine; what it throws is told as its clients know it. */
async function tell<Value>(work: Promise<Value>): Promise<Value> {
  try {
    return await work;
  } catch (error) {
    const message = messageOf(error);
    throw fromEngine(message, errorCode(message), error instanceof PermanentError);
  }
}
