/** Group commit against a writer that is let go by hand, and a model of what must come of it. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RetryableError } from "../../schemas/errors.ts";
import { makeGroupCommit } from "./group.ts";

/** A writer whose writes last until they are ended; it fails the test if two run at once. */
function makeWriter() {
  const groups: number[][] = [];
  let end: ((error?: unknown) => void) | null = null;
  return {
    groups,
    write: (items: number[]): Promise<void> => {
      if (end !== null) throw new Error("two writes at once");
      groups.push(items);
      return new Promise((resolve, reject) => {
        end = (error) => {
          end = null;
          if (error === undefined) resolve();
          else reject(error);
        };
      });
    },
    /** Ends the write that runs and lets what follows from it happen. */
    finish: async (error?: unknown): Promise<void> => {
      if (end === null) throw new Error("no write runs");
      end(error);
      await settle();
    },
    isWriting: () => end !== null,
  };
}

async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

/** How the promise stands: "waiting", "written", or the message it was rejected with. */
function watch(promise: Promise<void>): { state: string } {
  const watched = { state: "waiting" };
  promise.then(
    () => {
      watched.state = "written";
    },
    (error: unknown) => {
      watched.state = error instanceof Error ? error.message : String(error);
    },
  );
  return watched;
}

describe("grouping", () => {
  test("an item alone is written at once", () => {
    const writer = makeWriter();
    void makeGroupCommit(10, writer.write).add([1]);
    expect(writer.groups).toEqual([[1]]);
  });

  test("what arrives during a write is written together by the next, in order", async () => {
    const writer = makeWriter();
    const group = makeGroupCommit(100, writer.write);
    const added = [[1, 2], [3], [4, 5], [6]].map((items) => watch(group.add(items)));
    expect(writer.groups).toEqual([[1, 2]]);
    await writer.finish();
    expect(writer.groups).toEqual([
      [1, 2],
      [3, 4, 5, 6],
    ]);
    expect(added.map(({ state }) => state)).toEqual(["written", "waiting", "waiting", "waiting"]);
    await writer.finish();
    expect(added.map(({ state }) => state)).toEqual(Array.from({ length: 4 }, () => "written"));
    expect(writer.isWriting()).toBe(false);
  });

  test("after a pause the next item is written at once again", async () => {
    const writer = makeWriter();
    const group = makeGroupCommit(10, writer.write);
    for (const item of [1, 2, 3]) {
      const added = watch(group.add([item]));
      expect(writer.groups.at(-1)).toEqual([item]);
      await writer.finish();
      expect(added.state).toBe("written");
    }
  });

  test("a caller that adds again as soon as it is written goes into the next group", async () => {
    const writer = makeWriter();
    const group = makeGroupCommit(10, writer.write);
    const chained = watch(group.add([1]).then(() => group.add([2])));
    void group.add([3]);
    await writer.finish();
    expect(writer.groups[1]).toEqual([3]);
    await writer.finish();
    expect(writer.groups[2]).toEqual([2]);
    await writer.finish();
    expect(chained.state).toBe("written");
  });
});

describe("failure", () => {
  test("rejects everyone of its group with its error, and only them", async () => {
    const writer = makeWriter();
    const group = makeGroupCommit(10, writer.write);
    const first = watch(group.add([1]));
    const second = [watch(group.add([2])), watch(group.add([3]))];
    await writer.finish();
    const third = watch(group.add([4]));
    await writer.finish(new Error("EIO"));
    expect(first.state).toBe("written");
    expect(second.map(({ state }) => state)).toEqual(["EIO", "EIO"]);
    expect(third.state).toBe("waiting");
    await writer.finish();
    expect(third.state).toBe("written");
    expect(writer.groups).toEqual([[1], [2, 3], [4]]);
  });

  test("a writer that throws at once rejects, and the next item is still written", async () => {
    let calls = 0;
    const group = makeGroupCommit<number>(10, () => {
      calls += 1;
      if (calls === 1) throw new Error("encoder");
      return Promise.resolve();
    });
    await expect(group.add([1])).rejects.toThrow("encoder");
    await expect(group.add([2])).resolves.toBeUndefined();
  });
});

describe("the limit", () => {
  test("above it an addition is refused for now, and nothing of it is written", async () => {
    const writer = makeWriter();
    const group = makeGroupCommit(3, writer.write);
    void group.add([0]);
    const waiting = [watch(group.add([1])), watch(group.add([2]))];
    await expect(group.add([8, 9])).rejects.toBeInstanceOf(RetryableError);
    const fits = watch(group.add([3]));
    await writer.finish();
    expect(writer.groups[1]).toEqual([1, 2, 3]);
    await writer.finish();
    expect([...waiting, fits].map(({ state }) => state)).toEqual(["written", "written", "written"]);
  });

  test("there is room again once the waiting items are being written", async () => {
    const writer = makeWriter();
    const group = makeGroupCommit(2, writer.write);
    void group.add([0]);
    void group.add([1, 2]);
    await expect(group.add([3])).rejects.toBeInstanceOf(RetryableError);
    await writer.finish();
    const later = watch(group.add([3, 4]));
    await writer.finish();
    await writer.finish();
    expect(later.state).toBe("written");
  });

  test("an addition larger than the limit is taken where nothing waits", async () => {
    const writer = makeWriter();
    const group = makeGroupCommit(2, writer.write);
    const large = watch(group.add([1, 2, 3, 4]));
    await writer.finish();
    expect(large.state).toBe("written");
    void group.add([5]);
    const waiting = watch(group.add([6, 7, 8]));
    await writer.finish();
    await writer.finish();
    expect(waiting.state).toBe("written");
  });
});

describe("idle", () => {
  test("is at once where nothing was added", async () => {
    const { write } = makeWriter();
    await expect(makeGroupCommit(10, write).idle()).resolves.toBeUndefined();
  });

  test("waits for what runs and for what waits, also when it fails", async () => {
    const writer = makeWriter();
    const group = makeGroupCommit(10, writer.write);
    const first = watch(group.add([1]));
    const second = watch(group.add([2]));
    const idle = watch(group.idle());
    await writer.finish();
    expect(idle.state).toBe("waiting");
    await writer.finish(new Error("EIO"));
    expect([first.state, second.state, idle.state]).toEqual(["written", "EIO", "written"]);
  });
});

describe("any order of arrivals", () => {
  /** Adds a number of items, or ends the write that runs, well or badly. */
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.nat({ max: 4 }) },
    fc.constantFrom("finish" as const, "fail" as const),
  );

  test("every item is written once, in order, and its caller told what came of its write", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        const writer = makeWriter();
        const group = makeGroupCommit(6, writer.write);
        const failed = new Set<number>();
        const additions: { items: number[]; watched: { state: string } }[] = [];
        let next = 0;
        const end = async (fails: boolean) => {
          const writes = writer.groups.length - 1;
          if (fails) failed.add(writes);
          await writer.finish(fails ? new Error("EIO") : undefined);
        };
        for (const step of steps) {
          if (typeof step === "number") {
            const items = Array.from({ length: step }, () => next++);
            additions.push({ items, watched: watch(group.add(items)) });
            await settle();
          } else if (writer.isWriting()) {
            await end(step === "fail");
          }
        }
        while (writer.isWriting()) await end(false);
        await group.idle();

        const refused = additions.filter(({ watched }) =>
          watched.state.startsWith("The log is behind"),
        );
        const taken = additions.filter((addition) => !refused.includes(addition));
        expect(writer.groups.flat()).toEqual(taken.flatMap(({ items }) => items));
        for (const { items, watched } of taken) {
          const writes = new Set(
            items.map((item) => writer.groups.findIndex((g) => g.includes(item))),
          );
          expect(writes.size).toBeLessThanOrEqual(1); // an addition is never split
          const [write] = writes;
          const fails = write !== undefined && failed.has(write);
          const states = write === undefined ? ["written", "EIO"] : [fails ? "EIO" : "written"];
          expect(states).toContain(watched.state);
        }
      }),
      { numRuns: 300 },
    );
  });
});
