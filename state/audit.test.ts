/** The audit log in a real engine: what was written is there, in order, and a change of it shows. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { answerAudit, verifyAudit } from "../query-api/routes/audit.ts";
import { openTestEngine, type TestEngine } from "../test/support/engine.ts";
import { replaceMethods } from "../test/support/ledger.ts";
import { AuditLog, type AuditRow, coarseAddress, hashEntry } from "./audit.ts";

let test_engine: TestEngine;
beforeAll(async () => {
  test_engine = await openTestEngine();
});
afterAll(() => test_engine.close());
beforeEach(() => test_engine.engine.command("TRUNCATE TABLE audit_log"));

const AT_MS = Date.UTC(2026, 9, 27, 8);

function makeRow(changes: Partial<AuditRow> = {}): AuditRow {
  return {
    organization_id: "acme",
    project_id: "",
    at_ms: AT_MS,
    actor_kind: "key",
    actor_id: "key-1",
    actor_name: "Ann's key",
    action: "members:manage",
    object_kind: "member",
    object_id: "member-1",
    outcome: "done",
    detail: JSON.stringify({ before: { role: "viewer" } }),
    remote_address: "192.0.2.77",
    request_id: "request-1",
    ...changes,
  };
}

/** The ids of the objects of the entries that are answered. */
async function objectsOf(query: Parameters<typeof answerAudit>[2]): Promise<string[]> {
  const { entries } = await answerAudit(test_engine.engine, ["acme"], query);
  return entries.map(({ object }) => object.id);
}

test("an entry is answered as it was written, without the last part of the address", async () => {
  await new AuditLog(test_engine.engine, "one").write(makeRow());
  const { entries, next_cursor } = await answerAudit(test_engine.engine, ["acme"], {});
  expect(next_cursor).toBeNull();
  expect(entries).toEqual([
    {
      entry_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      at: "2026-10-27T08:00:00.000Z",
      organization_id: "acme",
      project_id: null,
      actor: { kind: "key", id: "key-1", name: "Ann's key" },
      action: "members:manage",
      object: { kind: "member", id: "member-1" },
      outcome: "done",
      detail: { before: { role: "viewer" } },
      remote_address: "192.0.2.0",
      request_id: "request-1",
    },
  ]);
});

test("pages are newest first, without gaps or repeats, entries of one instant too", async () => {
  const log = new AuditLog(test_engine.engine, "one");
  const wanted = ["5", "4", "3", "2", "1"];
  for (const object_id of wanted.toReversed()) {
    // 2, 3 and 4 at the same instant.
    const at_ms = object_id === "1" ? AT_MS - 1 : object_id === "5" ? AT_MS + 1 : AT_MS;
    await log.write(makeRow({ object_id, at_ms }));
  }
  await log.write(makeRow({ organization_id: "other", object_id: "others" }));
  const found: string[] = [];
  let cursor: string | undefined;
  do {
    const query = { limit: 2, ...(cursor === undefined ? {} : { cursor }) };
    const page = await answerAudit(test_engine.engine, ["acme"], query);
    found.push(...page.entries.map(({ object }) => object.id));
    cursor = page.next_cursor ?? undefined;
  } while (cursor !== undefined);
  expect(found.toSorted()).toEqual(wanted.toSorted());
  expect([found[0], found.at(-1)]).toEqual(["5", "1"]);
});

test("everything is answered only to who asks for everything", async () => {
  const log = new AuditLog(test_engine.engine, "one");
  for (const organization_id of ["acme", "other", ""])
    await log.write(makeRow({ organization_id }));
  const found = async (organizations: readonly string[] | null) => {
    const { entries } = await answerAudit(test_engine.engine, organizations, {});
    return entries.map((entry) => String(entry.organization_id)).toSorted();
  };
  expect(await found(null)).toEqual(["acme", "null", "other"]);
  expect(await found(["acme"])).toEqual(["acme"]);
  expect(await found([])).toEqual([]);
});

test("filters and the range choose, and the range ends before its end", async () => {
  const log = new AuditLog(test_engine.engine, "one");
  await log.write(makeRow({ object_id: "first", actor_id: "a", outcome: "refused" }));
  await log.write(makeRow({ object_id: "second", at_ms: AT_MS + 1_000, action: "keys:manage" }));
  expect(await objectsOf({})).toEqual(["second", "first"]);
  expect(await objectsOf({ actor: "a" })).toEqual(["first"]);
  expect(await objectsOf({ action: "keys:manage" })).toEqual(["second"]);
  expect(await objectsOf({ object: "first" })).toEqual(["first"]);
  expect(await objectsOf({ outcome: "refused" })).toEqual(["first"]);
  expect(await objectsOf({ from: AT_MS + 1 })).toEqual(["second"]);
  expect(await objectsOf({ to: AT_MS + 1_000 })).toEqual(["first"]);
  expect(await objectsOf({ from: AT_MS, to: AT_MS + 1_001 })).toEqual(["second", "first"]);
  await expect(objectsOf({ from: 2, to: 2 })).rejects.toMatchObject({ status: 400 });
});

test("only a cursor of the server is one", async () => {
  for (const cursor of ["x", "", Buffer.from("1:2").toString("base64url"), "MTox"]) {
    await expect(objectsOf({ cursor })).rejects.toMatchObject({ code: "invalid_cursor" });
  }
});

test("the chains of several writers are whole, with odd texts too", async () => {
  const one = new AuditLog(test_engine.engine, "one");
  const two = new AuditLog(test_engine.engine, "two");
  const odd = "it's \\ a \t \0 \u{1F600} half \ud83d";
  await Promise.all([
    one.write(makeRow()),
    two.write(makeRow({ actor_name: odd, detail: "\u{1F600}".repeat(5_000) })),
    one.write(makeRow({ organization_id: "other", remote_address: "2001:db8:1:2::3" })),
    one.write(makeRow({ organization_id: "", object_id: odd })),
    two.write(makeRow()),
  ]);
  expect(await verifyAudit(test_engine.engine)).toEqual({
    is_whole: true,
    is_complete: true,
    entries: 5,
    writers: 2,
    breaks: [],
  });
});

test.each([
  ["changed", "ALTER TABLE audit_log UPDATE outcome = 'done' WHERE sequence = 2", 2],
  ["changed", "ALTER TABLE audit_log UPDATE object_id = 'x' WHERE sequence = 3", 3],
  ["missing_before", "ALTER TABLE audit_log DELETE WHERE sequence = 2", 3],
  ["missing_before", "ALTER TABLE audit_log DELETE WHERE sequence = 1", 2],
] as const)("an entry that is %s shows: %s", async (problem, sql, sequence) => {
  const log = new AuditLog(test_engine.engine, "one");
  for (let number = 0; number < 3; number += 1) await log.write(makeRow({ outcome: "refused" }));
  expect((await verifyAudit(test_engine.engine)).is_whole).toBe(true);
  await test_engine.engine.command(`${sql} SETTINGS mutations_sync = 1`);
  const { is_whole, breaks } = await verifyAudit(test_engine.engine);
  expect(is_whole).toBe(false);
  expect(breaks).toMatchObject([{ writer_id: "one", sequence, problem }]);
});

test("an entry that is rewritten with a hash of its own breaks the one after it", async () => {
  const { engine } = test_engine;
  const stored: Record<string, unknown>[] = [];
  const recording = replaceMethods(engine, {
    command: async (sql, params, lane) => {
      stored.push({ ...params });
      await engine.command(sql, params, lane);
    },
  });
  const log = new AuditLog(recording, "one");
  for (let number = 0; number < 3; number += 1) await log.write(makeRow());
  const forged = { ...(stored[1] as Parameters<typeof hashEntry>[0]), object_id: "other" };
  const sha256 = hashEntry(forged);
  await engine.command(
    `ALTER TABLE audit_log UPDATE object_id = 'other', sha256 = '${sha256}' WHERE sequence = 2 SETTINGS mutations_sync = 1`,
  );
  const { breaks } = await verifyAudit(engine);
  expect(breaks).toMatchObject([{ sequence: 3, problem: "missing_before" }]);
});

test("an entry whose storage did not say whether it is there breaks no chain", async () => {
  const { engine } = test_engine;
  let fails: "before" | "after" | null = null;
  const shaky = replaceMethods(engine, {
    command: async (sql, params, lane) => {
      if (fails === "before") throw new Error("away");
      await engine.command(sql, params, lane);
      if (fails === "after") throw new Error("timeout");
    },
  });
  const log = new AuditLog(shaky, "one");
  await log.write(makeRow({ object_id: "1" }));
  for (fails of ["before", "after"] as const) {
    await expect(log.write(makeRow({ object_id: `not told: ${fails}` }))).rejects.toThrow(
      fails === "before" ? "away" : "timeout",
    );
  }
  fails = null;
  await log.write(makeRow({ object_id: "2" }));
  await log.write(makeRow({ object_id: "3" }));
  expect((await objectsOf({})).toSorted()).toEqual(["1", "2", "3", "not told: after"]);
  expect(await verifyAudit(engine)).toMatchObject({ is_whole: true, entries: 4 });
});

test("addresses lose what tells one person", () => {
  expect(coarseAddress("192.0.2.77")).toBe("192.0.2.0");
  expect(coarseAddress("::ffff:192.0.2.77")).toBe("192.0.2.0");
  expect(coarseAddress("2001:db8:1:2:3:4:5:6")).toBe("2001:db8:1::");
  expect(coarseAddress("")).toBe("");
});
