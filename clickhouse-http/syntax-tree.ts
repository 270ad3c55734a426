/**
 * Reads the tree that `EXPLAIN AST` prints: one node a line, its depth by its indentation.
 *
 * Invariant: every line becomes a node; one that has another form is refused.
 */
import { refuse } from "./errors.ts";

/** A node of the tree. */
export interface Node {
  /** Like `Function` or `TableIdentifier`. */
  readonly type: string;
  /** What stands behind the type: a name or a literal; empty without one. */
  readonly text: string;
  /** The name that the statement gives it; empty without one. */
  readonly alias: string;
  readonly parent: Node | null;
  readonly children: Node[];
}

/** Behind the name of a node: what it is called in the statement, and how many nodes are below. */
const ALIAS = " (alias ";
const CHILDREN = / \(children \d{1,9}\)$/;
/** Longest end of a line that `CHILDREN` has to look at, characters. */
const END_LENGTH = 24;

/**
 * The nodes of a tree in the order in which they are printed; the first one is the root. Takes time in
 * proportion to the text, whatever stands in it. A name that holds ` (alias ` is cut there.
 */
export function readSyntaxTree(printed: string): Node[] {
  const nodes: Node[] = [];
  /** The nodes that the last line went down by, from the root. */
  const path: Node[] = [];
  for (const line of printed.split("\n")) {
    if (line === "") continue;
    const depth = line.length - line.trimStart().length;
    const type = /^[A-Za-z]+(?:::[A-Za-z]+)?(?= |$)/.exec(line.slice(depth, depth + 80))?.[0] ?? "";
    const parent = path[depth - 1] ?? null;
    if (type === "" || depth > path.length || (parent === null) !== (nodes.length === 0)) {
      throw refuse("SYNTAX_ERROR", "This endpoint cannot read the statement.");
    }
    const rest = line.slice(depth + type.length);
    const node: Node = { type, text: cutName(rest), alias: cutAlias(rest), parent, children: [] };
    parent?.children.push(node);
    path.length = depth;
    path.push(node);
    nodes.push(node);
  }
  return nodes;
}

/** What stands behind the type, without the alias and the number of children. */
function cutName(rest: string): string {
  const alias = rest.indexOf(ALIAS);
  return alias === -1 ? cutChildren(rest).slice(1) : rest.slice(1, alias);
}

function cutAlias(rest: string): string {
  const alias = rest.indexOf(ALIAS);
  return alias === -1 ? "" : cutChildren(rest).slice(alias + ALIAS.length, -1);
}

function cutChildren(rest: string): string {
  const children = CHILDREN.exec(rest.slice(-END_LENGTH))?.[0].length ?? 0;
  return rest.slice(0, rest.length - children);
}
