/**
 * The variables that filter every dashboard, and the dimensions that a panel can be broken down by: which
 * there are, and their SQL.
 *
 * Invariant: a value that a reader picks stands in SQL as a quoted text only, never as an identifier, and
 * the empty text of an unknown value is shown and asked for as `(none)`.
 */
import { DIMENSIONS, type DimensionName, type UsageSource } from "../schemas/dimensions.ts";

/** How a value that is not known is shown, and picked. */
export const NONE = "(none)";

/** Variables that filter, and the dimension of each; the project is beside them. */
export const FILTERS = {
  service: "service_name",
  environment: "environment",
  provider: "provider",
  model: "model",
  user: "user_id",
} as const satisfies Readonly<Record<string, DimensionName>>;
export type FilterName = keyof typeof FILTERS;
export const FILTER_NAMES = Object.keys(FILTERS) as FilterName[];

/** What the variable `group_by` offers. */
export const GROUPS = [
  "model",
  "provider",
  "service_name",
  "environment",
  "user_id",
  "agent_name",
  "operation",
] as const satisfies readonly DimensionName[];

/** Stands for the dimension that the reader picks in the variable `group_by`. */
export const GROUP_BY = "$group_by";
/** The project, which is no dimension: the API answers for one at a time. */
export const PROJECT = "project_id";
export type GroupKey = DimensionName | typeof GROUP_BY | typeof PROJECT;

/** A dimension as a text to be shown; `(none)` when it is not known. */
export function dimensionSql(name: DimensionName): string {
  return textSql(DIMENSIONS[name].sql);
}

/** A text column as it is shown; `(none)` when it is empty. */
export function textSql(sql: string): string {
  return `if(${sql} = '', '${NONE}', toString(${sql}))`;
}

/**
 * The condition that a text is one of those picked in a variable; holds when all are. Values come as
 * parameters of a URL, encoded, and are decoded by the engine: `:singlequote` leaves backslashes as they are
 * (`CORP\\ann` is a user), and one at the end of a value would end the text early. What stands before the
 * first value is empty, which no shown text is.
 */
export function pickedSql(text: string, variable: string): string {
  const values = `splitByRegexp('&?var-${variable}=', '\${${variable}:queryparam}')`;
  const decoded = `arrayMap(value -> decodeURLComponent(value), ${values})`;
  return `$__conditionalAll(has(${decoded}, ${text}), $${variable})`;
}

/**
 * What is written in a text box, as a text of SQL. Encoded on its way: `:singlequote` leaves backslashes as
 * they are, which end a text early, and the macros of the backend would expand in it.
 */
export function textBoxSql(variable: string): string {
  return `decodeURLComponent('\${${variable}:percentencode}')`;
}

/**
 * The condition of the variable `project` on the column `project_id`. A list, because the tables are ordered
 * by it; ids of projects have neither quotes nor backslashes.
 */
export const PROJECT_SQL = "$__conditionalAll(project_id IN (${project:singlequote}), $project)";

/** The condition of one of the filters on a table that has its dimension. */
export function filterSql(name: FilterName): string {
  return pickedSql(dimensionSql(FILTERS[name]), name);
}

/**
 * The conditions of the project and of all filters on `calls`, `usage_calls`, `ledger_spans` or `spans`,
 * which have every dimension of theirs.
 */
export function callFiltersSql(names: readonly FilterName[] = FILTER_NAMES): string {
  return [PROJECT_SQL, ...names.map((name) => filterSql(name))].join("\n  AND ");
}

/** True, for the engine a constant, when nothing is picked in the variable. */
export function isAllSql(variable: string): string {
  return `($__conditionalAll(1 = 0, $${variable}))`;
}

function has(source: UsageSource, name: DimensionName): boolean {
  return (DIMENSIONS[name].sources as readonly UsageSource[]).includes(source);
}

/** The filters that a source can apply. */
export function filtersOf(source: UsageSource): FilterName[] {
  return FILTER_NAMES.filter((name) => has(source, FILTERS[name]));
}

/** SQL of a key of a source as a text; the one that is picked is empty where the source lacks it. */
export function keySql(key: GroupKey, source: UsageSource): string {
  if (key === PROJECT) return "toString(project_id)";
  if (key !== GROUP_BY) return dimensionSql(key);
  const known = GROUPS.filter((name) => has(source, name));
  const branches = known.flatMap((name) => [
    `\${group_by:singlequote} = '${name}'`,
    dimensionSql(name),
  ]);
  return `multiIf(${branches.join(", ")}, '')`;
}

/** The condition that a source has the key that is picked; a constant for the engine. */
export function hasPickedGroupSql(source: UsageSource): string {
  const known = GROUPS.filter((name) => has(source, name)).map((name) => `'${name}'`);
  return `\${group_by:singlequote} IN (${known.join(", ")})`;
}

/** Whether the source has the key, or some of those that can be picked. */
export function canHave(source: UsageSource, key: GroupKey): boolean {
  if (key === PROJECT) return true;
  return key === GROUP_BY ? GROUPS.some((name) => has(source, name)) : has(source, key);
}
