/**
 * The cursor of a page of usage: where the page before ended, and of which question it was.
 *
 * Invariant: a cursor is good for the very question that it was given for; with any other it is an
 * error, because its rows would not go on from there.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { ApiError } from "./errors.ts";
import type { TimeRange } from "./request.ts";
import type { RowPosition, UsageQuestion } from "./usage-question.ts";

const Fields = z.tuple([
  z.string().regex(/^[0-9a-f]{32}$/),
  z
    .string()
    .regex(/^[0-9a-f]{32}$/)
    .nullable(),
  z.number().int().nonnegative(),
  z.number().int().nonnegative(),
  z.number().int().nonnegative().nullable(),
  z.boolean(),
  z.string().regex(/^-?\d{1,26}(\.\d{1,12})?$/),
  z.string().regex(/^\d{1,19}$/),
  z.array(z.string()),
]);

/** A cursor taken apart. */
export interface UsageCursor extends TimeRange {
  /** Which question it is of, its range apart. */
  readonly question: string;
  /** The groups that `top` kept apart on the page; null without it. */
  readonly top: string | null;
  readonly after: RowPosition;
}

function hashOf(value: unknown): string {
  return createHash("sha256").update(JSON.stringify(value)).digest("hex").slice(0, 32);
}

/** Names a question, its range and the size of its pages apart. */
export function fingerprintOf(
  question: Omit<UsageQuestion, "from_ms" | "to_ms" | "limit">,
): string {
  const filters = (of: object | undefined) => Object.entries(of ?? {}).toSorted(byName);
  const tags = (of: ReadonlyMap<string, readonly string[]> | undefined) =>
    [...(of ?? [])].toSorted(byName);
  return hashOf([
    question.project_id,
    question.measures,
    question.group_by,
    question.interval,
    question.tz,
    filters(question.filters),
    filters(question.excluded),
    tags(question.tags),
    tags(question.excluded_tags),
    question.order_by ?? null,
    question.top ?? null,
    question.compare?.to ?? null,
  ]);
}

function byName([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Names the groups that `top` keeps apart, in whatever order; null without it. */
export function fingerprintOfTop(groups: readonly (readonly string[])[] | null): string | null {
  return groups === null ? null : hashOf(groups.map((keys) => JSON.stringify(keys)).toSorted());
}

/** Writes a cursor. */
export function writeUsageCursor({ question, top, from_ms, to_ms, after }: UsageCursor): string {
  const { time_s, is_other, rank, calls, keys } = after;
  const fields = [question, top, from_ms, to_ms, time_s, is_other, rank, calls, keys];
  return Buffer.from(JSON.stringify(fields)).toString("base64url");
}

/** Reads a cursor. Throws ApiError(400) for what this server did not write. */
export function readUsageCursor(text: string): UsageCursor {
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(text, "base64url").toString());
  } catch {
    refuseCursor("cursor is not one that this server gave");
  }
  const result = Fields.safeParse(json);
  if (!result.success) refuseCursor("cursor is not one that this server gave");
  const [question, top, from_ms, to_ms, time_s, is_other, rank, calls, keys] = result.data;
  const cursor: UsageCursor = {
    question,
    top,
    from_ms,
    to_ms,
    after: { time_s, is_other, rank, calls, keys },
  };
  const fits = writeUsageCursor(cursor) === text && from_ms < to_ms;
  if (!fits) refuseCursor("cursor is not one that this server gave");
  return cursor;
}

/** Throws ApiError(400) that says what is wrong with a cursor. */
export function refuseCursor(message: string): never {
  throw new ApiError(400, "invalid_cursor", message, [{ path: "cursor", message }]);
}
