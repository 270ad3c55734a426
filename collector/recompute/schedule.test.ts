/**
 * The schedule by a clock of the test: who is served when projects compete, and how long a dear bucket
 * waits. The costs are what the test says a row takes, not what the schedule learned.
 */
import { describe, expect, test } from "vitest";
import { BUCKET_S } from "../../schemas/record.ts";
import { type DirtyBucket, Schedule, type Task } from "./schedule.ts";

const DAY_S = 86_400;
const NOON_S = Date.UTC(2026, 9, 24, 12) / 1000;

interface Clock {
  now_ms: number;
}

function makeSchedule(clock: Clock): Schedule {
  return new Schedule({ day_interval_ms: 0, now_ms: () => clock.now_ms });
}

function dirty(project_id: string, bucket_s: number, quiet_s = 60): DirtyBucket {
  const marks = [["wal", "1"]] as const;
  return { project_id, bucket_s, marks, is_dirty_15m: 1, is_dirty_day: 1, quiet_s };
}

/** Dirty buckets of a day each, the newest first, as select_dirty answers. */
function backlog(project_id: string, days: number): DirtyBucket[] {
  return Array.from({ length: days }, (_item, day) => dirty(project_id, NOON_S - day * DAY_S));
}

/** Every bucket that is dirty has that many rows. */
function rowsOfAll(rows: Readonly<Record<string, number>>) {
  return (project_id: string, day_s: number) =>
    new Map([[day_s + DAY_S / 2, rows[project_id] ?? 0]]);
}

const names = (tasks: readonly Task[]) => tasks.map(({ project_id }) => project_id);
const starts = (tasks: readonly Task[]) =>
  tasks.flatMap(({ buckets }) => buckets.map(({ bucket_s }) => bucket_s));

/** One round: the plan is computed, and every row of a statement took that long. */
function computeRound(
  schedule: Schedule,
  clock: Clock,
  queue: readonly DirtyBucket[],
  rows: Readonly<Record<string, number>>,
  row_ms: number,
): Task[] {
  const tasks = schedule.plan(queue, rowsOfAll(rows), { work_ms: 1_000, is_forced: false });
  for (const task of tasks) {
    for (const [kind, statements] of [
      ["buckets", 1],
      ["day", 2],
    ] as const) {
      const read = (kind === "day" ? task.day_rows : task.bucket_rows) + 1_000;
      const duration_ms = read * row_ms * statements;
      clock.now_ms += duration_ms;
      schedule.note(kind, [task], duration_ms);
    }
  }
  return tasks;
}

function without(queue: readonly DirtyBucket[], tasks: readonly Task[]): DirtyBucket[] {
  const done = new Set(tasks.flatMap((task) => task.buckets));
  return queue.filter((bucket) => !done.has(bucket));
}

describe("projects that compete", () => {
  test("are all served in the first round, however long the backlog of one is", () => {
    const clock = { now_ms: NOON_S * 1000 + 3_600_000 };
    const schedule = makeSchedule(clock);
    const small = Array.from({ length: 20 }, (_item, index) => dirty(`small-${index}`, NOON_S));
    const queue = [...backlog("huge", 990), ...small];
    const tasks = computeRound(schedule, clock, queue, {}, 0.002);
    expect(new Set(names(tasks)).size).toBe(21);
    expect(tasks.length).toBeLessThan(200);
  });

  test("get their turn when one bucket of another costs more than a round", () => {
    const clock = { now_ms: NOON_S * 1000 + 3_600_000 };
    const schedule = makeSchedule(clock);
    let queue = [...backlog("huge", 3), ...["a", "b", "c"].flatMap((name) => backlog(name, 3))];
    // 5,000,000 rows at 0.002 ms are thirty rounds; the others have a tenth of a round a day.
    const rows = { huge: 5_000_000, a: 15_000, b: 15_000, c: 15_000 };
    const rounds: string[][] = [];
    while (queue.length > 0) {
      const tasks = computeRound(schedule, clock, queue, rows, 0.002);
      expect(tasks.length).toBeGreaterThan(0);
      rounds.push(names(tasks));
      queue = without(queue, tasks);
    }
    // Never more than one of the dear ones in a round, and none of the others waits for a second one.
    for (const round of rounds)
      expect(round.filter((name) => name === "huge").length).toBeLessThan(2);
    expect(new Set(rounds.slice(0, 2).flat())).toEqual(new Set(["huge", "a", "b", "c"]));
    const last_small = rounds.findLastIndex((round) => round.some((name) => name !== "huge"));
    const last_huge = rounds.findLastIndex((round) => round.includes("huge"));
    expect(last_small).toBeLessThan(last_huge);
  });

  test("cannot starve a dear one with a stream of cheap ones", () => {
    const clock = { now_ms: NOON_S * 1000 + 3_600_000 };
    const schedule = makeSchedule(clock);
    const rows = { huge: 5_000_000 };
    const served = Array.from({ length: 5 }, (_item, round) => {
      const cheap = ["a", "b", "c"].flatMap((name) => backlog(`${name}-${round}`, 3));
      const queue = [...cheap, ...backlog("huge", 1)];
      return names(computeRound(schedule, clock, queue, rows, 0.002));
    });
    expect(served.flat()).toContain("huge");
  });

  test("have the newest of their days computed first", () => {
    const clock = { now_ms: NOON_S * 1000 + 3_600_000 };
    const schedule = makeSchedule(clock);
    const queue = backlog("p", 400).toReversed();
    const tasks = schedule.plan(queue, rowsOfAll({}), { work_ms: 1_000, is_forced: false });
    expect(tasks.length).toBeGreaterThan(3);
    expect(starts(tasks)).toEqual(starts(tasks).toSorted((a, b) => b - a));
    expect(starts(tasks)[0]).toBe(NOON_S);
  });
});

describe("a bucket that marks come for all the time", () => {
  /** When it is computed within the hour, ms after its start; every computation costs that much. */
  function simulate(row_ms: number, rows_per_s: number, step_ms = 1_000): number[] {
    const clock = { now_ms: NOON_S * 1000 };
    const schedule = makeSchedule(clock);
    const computed: number[] = [];
    while (clock.now_ms < (NOON_S + BUCKET_S + 30) * 1000) {
      const age_s = clock.now_ms / 1000 - NOON_S;
      const is_open = age_s < BUCKET_S;
      const rows = Math.min(age_s, BUCKET_S) * rows_per_s;
      const open = {
        ...dirty("hot", NOON_S, is_open ? 0 : age_s - BUCKET_S),
        is_dirty_day: 0,
      };
      const done_before = computed.at(-1) ?? -1;
      const queue = is_open || done_before < BUCKET_S * 1000 ? [open] : [];
      const before_ms = clock.now_ms;
      const tasks = schedule.plan(queue, rowsOfAll({ hot: rows }), {
        work_ms: 1_000,
        is_forced: false,
      });
      if (tasks.length > 0) {
        computed.push(before_ms - NOON_S * 1000);
        clock.now_ms += (rows + 1_000) * row_ms;
        schedule.note("buckets", tasks, (rows + 1_000) * row_ms);
      }
      clock.now_ms += step_ms;
    }
    return computed;
  }

  test("is computed ever more rarely while it costs much, and once when it has ceased", () => {
    // 150,000 spans/s at 2 us a row: 270 s for the whole bucket.
    const computed = simulate(0.002, 150_000);
    const whole_ms = BUCKET_S * 1000;
    expect(computed.filter((at_ms) => at_ms < whole_ms).length).toBeLessThanOrEqual(1);
    expect(computed.filter((at_ms) => at_ms >= whole_ms)).toHaveLength(1);
  });

  test("is computed often while it costs little, and takes a bounded part of the time", () => {
    // 500 spans/s: a second for the whole bucket.
    const computed = simulate(0.002, 500);
    expect(computed.length).toBeGreaterThan(50);
    const cost_ms = computed.map((at_ms) => (at_ms / 1000) * 500 * 0.002);
    const spent_ms = cost_ms.reduce((sum, cost) => sum + cost, 0);
    expect(spent_ms / (BUCKET_S * 1000)).toBeLessThan(0.06);
  });
});

describe("a bucket that was just computed", () => {
  test("waits by what it cost, and less when its marks have ceased", () => {
    const start_ms = (NOON_S + 2 * BUCKET_S) * 1000;
    const waitOf = (quiet_s: number) => {
      const clock = { now_ms: start_ms };
      const schedule = makeSchedule(clock);
      const row = { ...dirty("p", NOON_S, quiet_s), is_dirty_day: 0 };
      const budget = { work_ms: 1_000, is_forced: false };
      const first = schedule.plan([row], rowsOfAll({ p: 10_000 }), budget);
      schedule.note("buckets", first, 3_000);
      const isDue = () => schedule.plan([row], rowsOfAll({ p: 10_000 }), budget).length > 0;
      while (!isDue()) clock.now_ms += 500;
      return clock.now_ms - start_ms;
    };
    expect([waitOf(0), waitOf(60)]).toEqual([60_000, 12_000]);
  });

  test("is due at once when the clock has gone back, and when it is asked for by force", () => {
    const clock = { now_ms: (NOON_S + 2 * BUCKET_S) * 1000 };
    const schedule = makeSchedule(clock);
    const row = dirty("p", NOON_S);
    const plan = (is_forced: boolean) =>
      schedule.plan([row], rowsOfAll({ p: 10_000 }), { work_ms: 1_000, is_forced });
    const first = plan(false);
    schedule.note("buckets", first, 60_000);
    schedule.note("day", first, 60_000);
    expect([plan(false).length, plan(true).length]).toEqual([0, 1]);
    clock.now_ms -= 3_600_000;
    expect(plan(false)).toHaveLength(1);
  });
});
