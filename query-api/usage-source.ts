/**
 * Which tables answer a question: the coarsest that have all it asks, and finer ones for the ends of
 * the range that do not fill their steps.
 *
 * Invariant: the parts of a range do not overlap and leave nothing out, so every range is exact to the
 * nanosecond of its ends.
 */
import {
  DIMENSIONS,
  type DimensionName,
  MEASURES,
  tagKeyOf,
  type UsageSource,
} from "../schemas/usage.ts";
import type { UsageQuestion } from "./usage-question.ts";

const STEP_MS: Readonly<Record<Exclude<UsageSource, "usage_calls">, number>> = {
  usage_15m: 900_000,
  usage_day: 86_400_000,
  usage_user_day: 86_400_000,
};

/** Sources to try, coarsest and so cheapest first. */
const PREFERENCE: readonly UsageSource[] = ["usage_user_day", "usage_day", "usage_15m"];

/** What of a question decides where it can be answered. */
export type SourceQuestion = Pick<
  UsageQuestion,
  "group_by" | "filters" | "excluded" | "tags" | "excluded_tags" | "measures" | "interval" | "tz"
>;

/** The sources that have all that is asked, the coarsest first; the calls always have it. */
export function answeringSources(question: SourceQuestion): UsageSource[] {
  const needed = neededSources(question);
  const daily_steps = ["none", "day", "week", "month"].includes(question.interval);
  const days_fit = daily_steps && (question.interval === "none" || question.tz === "UTC");
  // Users are many: their rollup is for what no other has.
  const of_users = needed.some(
    (sources) => sources.includes("usage_user_day") && !sources.includes("usage_day"),
  );
  const answers = (source: UsageSource) =>
    needed.every((sources) => sources.includes(source)) &&
    (source === "usage_15m" || days_fit) &&
    (source !== "usage_user_day" || of_users);
  return [...PREFERENCE.filter((source) => answers(source)), "usage_calls"];
}

/** The sources of everything that the question names. */
function neededSources(question: SourceQuestion): (readonly UsageSource[])[] {
  const names = [
    ...question.group_by,
    ...Object.keys(question.filters),
    ...Object.keys(question.excluded ?? {}),
  ];
  const has_tags = (question.tags?.size ?? 0) + (question.excluded_tags?.size ?? 0) > 0;
  return [
    ...(has_tags || names.some((name) => tagKeyOf(name) !== null)
      ? [["usage_calls"] as const]
      : []),
    ...names
      .filter((name) => Object.hasOwn(DIMENSIONS, name))
      .map((name) => DIMENSIONS[name as DimensionName].sources),
    ...question.measures.map((name) => MEASURES[name].sources),
  ];
}

interface RangePart {
  readonly source: UsageSource;
  /** Unix ms; `from` inclusive, `to` exclusive. */
  readonly from_ms: number;
  readonly to_ms: number;
}

/** What is read of one source: ranges of Unix ms, `from` inclusive, `to` exclusive. */
export interface SourceParts {
  readonly source: UsageSource;
  readonly ranges: readonly (readonly [from_ms: number, to_ms: number])[];
}

/**
 * The range in parts: whole steps from the first source, what is left at both ends from the next ones.
 * Both ends stand together, because the engine plans each sub-select of the calls for longer than it
 * reads it.
 */
export function splitRange(
  sources: readonly UsageSource[],
  from_ms: number,
  to_ms: number,
): SourceParts[] {
  const parts = splitSteps(sources, from_ms, to_ms);
  return [...new Set(parts.map(({ source }) => source))].map((source) => ({
    source,
    ranges: parts
      .filter((part) => part.source === source)
      .map((part) => [part.from_ms, part.to_ms] as const),
  }));
}

/** The whole steps of the range from the first source, what is left at both ends from the next ones. */
function splitSteps(sources: readonly UsageSource[], from_ms: number, to_ms: number): RangePart[] {
  const [source = "usage_calls", ...finer] = sources;
  if (from_ms >= to_ms) return [];
  if (source === "usage_calls") return [{ source, from_ms, to_ms }];
  const step = STEP_MS[source];
  const first = Math.ceil(from_ms / step) * step;
  const last = Math.floor(to_ms / step) * step;
  if (first >= last) return splitSteps(finer, from_ms, to_ms);
  return [
    ...splitSteps(finer, from_ms, first),
    { source, from_ms: first, to_ms: last },
    ...splitSteps(finer, last, to_ms),
  ];
}
