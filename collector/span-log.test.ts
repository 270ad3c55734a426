import { describe, expect, test } from "vitest";
import { RetryableError } from "../schemas/errors.ts";
import { makeSpan } from "../test/support/span.ts";
import { type GroupFollower, SpanGather, type SpanGroup, SpanLog } from "./span-log.ts";

const START_S = 1_800_000_000;

/** Adds a row as the pass does: in place, or of an object. */
function add(gather: SpanGather, way: "in place" | "object"): void {
  gather.rows.appendSpan(makeSpan());
  gather.addTime("p", START_S);
  if (way === "object") gather.noteObject();
}

describe("rows that were made of objects", () => {
  test("are counted among the others", () => {
    const gather = new SpanGather();
    for (const way of ["in place", "object", "object", "in place"] as const) add(gather, way);
    expect(gather.countObjects()).toBe(2);
    gather.clear();
    expect(gather.countObjects()).toBe(0);
  });

  test("are not counted when they were taken back, whatever came in their place", () => {
    const gather = new SpanGather();
    add(gather, "object");
    const mark = gather.rows.mark();
    for (let row = 0; row < 3; row += 1) add(gather, "object");
    gather.rows.takeBack(mark);
    expect(gather.countObjects()).toBe(1);
    for (let row = 0; row < 3; row += 1) add(gather, "object");
    gather.rows.takeBack(mark);
    for (let row = 0; row < 5; row += 1) add(gather, "in place");
    expect(gather.countObjects()).toBe(1);
    add(gather, "object");
    expect(gather.countObjects()).toBe(2);
  });
});

describe("a watched log", () => {
  function makeWatched(append: () => Promise<void>) {
    const groups: SpanGroup[] = [];
    const told: string[] = [];
    let waiting = () => -1;
    let sequence = 0;
    const follower: GroupFollower = {
      noteCommit: () => told.push("commit"),
      noteGroup: ({ is_durable }) => told.push(`group ${is_durable}`),
    };
    const watch = {
      watchQueue: (ask: () => number) => (waiting = ask),
      follow: () => follower,
      observeGroup: (group: SpanGroup) => groups.push(group),
    };
    const log = new SpanLog({
      wal: { reserveSequence: () => (sequence += 1), append, watch },
      now_ms: () => START_S * 1000,
      onSynced: () => {},
    });
    return { log, groups, told, waiting: () => waiting() };
  }

  test("tells of each group what was in it, and its requests before", async () => {
    const gate = Promise.withResolvers<void>();
    const { log, groups, told, waiting } = makeWatched(() => gate.promise);
    add(log.shared(), "in place");
    const first = log.commit();
    for (const way of ["object", "in place"] as const) add(log.shared(), way);
    const others = [log.commit(), log.commit()];
    expect(waiting()).toBe(2);
    gate.resolve();
    await Promise.all([first, ...others]);
    expect(groups).toMatchObject([
      { requests: 1, spans: 1, object_spans: 0, is_durable: true },
      { requests: 2, spans: 2, object_spans: 1, is_durable: true },
    ]);
    expect(groups[1]?.started_ms).toBeGreaterThanOrEqual(groups[0]?.ended_ms ?? Infinity);
    expect(told.filter((word) => word === "group true")).toHaveLength(3);
    expect(waiting()).toBe(0);
  });

  test("tells of a group that was not made durable, and the requests get its error", async () => {
    const failure = new RetryableError("wal_full", "no room");
    const { log, groups, told } = makeWatched(() => Promise.reject(failure));
    add(log.shared(), "in place");
    await expect(log.commit()).rejects.toBe(failure);
    expect(groups).toMatchObject([{ requests: 1, spans: 1, is_durable: false }]);
    expect(told).toEqual(["commit", "group false"]);
  });
});
