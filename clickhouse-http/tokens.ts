/**
 * Splits a statement as ClickHouse itself has written it (`formatQuerySingleLine`) into words, names,
 * literals and signs. Its own text has one form: no comments, no line breaks, names quoted one way.
 *
 * Invariant: a text that holds anything but that form is refused, never guessed at.
 */
import { refuse } from "./errors.ts";

/** One piece of a statement. */
export interface Token {
  /**
   * `word`: a keyword or a name, bare; `name`: a name in backquotes; `parameter`: `{name:Type}`;
   * `sign`: one character.
   */
  readonly kind: "word" | "name" | "string" | "number" | "parameter" | "sign";
  /** The word, the name without quotes, the type of a parameter, else the text itself. */
  readonly text: string;
  /** Where the piece begins in the statement, characters. */
  readonly start: number;
}

const PIECE =
  /(?<space> +)|(?<word>[A-Za-z_][A-Za-z0-9_]*)|`(?<name>[^`\\]*)`|(?<string>'(?:[^'\\]|\\[\s\S])*')|(?<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)|\{(?<parameter>[A-Za-z_]\w*:(?:[^{}'`]|'[^'\\]*')+)\}|(?<comment>--|\/\*)|(?<sign>[()[\],.+\-*/%=<>!|?:^])/y;

// A name may hold anything that can be printed.
const CONTROL = /\p{Cc}/u;

/** The pieces of a statement. Throws ClickHouseError SYNTAX_ERROR for what is not of the one form. */
export function tokenize(statement: string): Token[] {
  const tokens: Token[] = [];
  PIECE.lastIndex = 0;
  let start = 0;
  while (start < statement.length) {
    const groups = PIECE.exec(statement)?.groups;
    const is_odd =
      groups === undefined ||
      groups["comment"] !== undefined ||
      CONTROL.test(groups["name"] ?? groups["string"] ?? "");
    if (is_odd) {
      throw refuse(
        "SYNTAX_ERROR",
        `This endpoint does not take the statement from here on: ${statement.slice(start, start + 40)}. ` +
          "Names with backslashes or control characters and session variables are not taken.",
      );
    }
    const end = PIECE.lastIndex;
    const token = readToken(groups, start);
    if (token !== null) tokens.push(token);
    start = end;
  }
  return tokens;
}

function readToken(groups: Readonly<Record<string, string>>, start: number): Token | null {
  for (const kind of ["word", "name", "string", "number", "sign"] as const) {
    const text = groups[kind];
    if (text !== undefined) return { kind, text, start };
  }
  const parameter = groups["parameter"];
  if (parameter === undefined) return null;
  return { kind: "parameter", text: parameter.slice(parameter.indexOf(":") + 1), start };
}
