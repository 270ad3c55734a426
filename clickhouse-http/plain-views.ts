/**
 * Who sees some projects alone asks views without dictionaries in place of tables (`PlainView` says why):
 * each has the name of its table, in the session of one request.
 *
 * Invariant: behind this no name in the statement means a table of ours with a dictionary.
 */
import type { PlainView } from "../clickhouse/reader.ts";
import type { Visible } from "./tables.ts";
import type { Token } from "./tokens.ts";

/** A statement that names views, and which. */
export interface OnViews {
  readonly statement: string;
  readonly views: readonly PlainView[];
}

/** Makes a statement in the engine's form, and its pieces, name the views where it names tables. */
export function putViews(statement: string, tokens: readonly Token[], visible: Visible): OnViews {
  const { database, tables, plain_columns } = visible;
  if (plain_columns.size === 0) return { statement, views: [] };
  const views = new Map<string, PlainView>();
  const parts: string[] = [];
  let begin = 0;
  for (const [place, token] of tokens.entries()) {
    if (!isName(token)) continue;
    const columns = plain_columns.get(token.text);
    if (columns !== undefined && tables.has(token.text)) {
      const is_final = views.get(token.text)?.is_final === true || isFinal(tokens, place);
      views.set(token.text, { database, table: token.text, columns, is_final });
    }
    const table = tokens[place + 2];
    // A view of a session has no database: `spanledger.spans` becomes `spans`.
    const is_whole =
      token.text === database &&
      tokens[place - 1]?.text !== "." &&
      tokens[place + 1]?.text === "." &&
      isName(table) &&
      tables.has(table.text);
    if (!is_whole) continue;
    parts.push(statement.slice(begin, token.start));
    begin = table.start;
  }
  return { statement: [...parts, statement.slice(begin)].join(""), views: [...views.values()] };
}

function isName(token: Token | undefined): token is Token {
  return token?.kind === "word" || token?.kind === "name";
}

/** Whether FINAL, which a view does not heed, stands behind a table: `spans FINAL`, `spans AS s FINAL`. */
function isFinal(tokens: readonly Token[], place: number): boolean {
  const isWord = (at: number, text: string) =>
    tokens[at]?.kind === "word" && tokens[at]?.text === text;
  return isWord(place + (isWord(place + 1, "AS") ? 3 : 1), "FINAL");
}
