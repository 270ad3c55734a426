/** What an installation remembers: written durably, seen by others, kept while ClickHouse is away. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { DEFAULT_ENGINE_LIMITS, type Engine } from "../clickhouse/engine.ts";
import { openServer } from "../clickhouse/server.ts";
import { openTestEngine, type TestEngine } from "../test/support/engine.ts";
import { type FakeClickHouse, startFakeClickHouse } from "../test/support/fake-clickhouse.ts";
import { eventually } from "../test/support/program.ts";
import { Authenticator } from "./authenticator.ts";
import { AuditLog, coarseAddress, hashEntry } from "./audit.ts";
import {
  addKey,
  addProject,
  type Laboratory,
  makeLaboratory,
  makeSnapshot,
  NO_LOG,
} from "./fixture.ts";
import { KeyUse, lastUsedMs } from "./key-use.ts";
import { findExcess, replaceKey, revokeKey, storeKey } from "./keys.ts";
import { snapshotAt } from "./snapshot.ts";
import { StateStore } from "./store.ts";
import { makeOperator } from "../schemas/access.ts";
import { makeKey } from "../schemas/keys.ts";

let laboratory: Laboratory;
beforeEach(() => {
  laboratory = makeLaboratory();
});

const SCOPE = { organization_id: "acme", project_id: null };
const organization = (name: string) => ({
  organization_id: "acme",
  name,
  created_at: "2026-01-01T00:00:00.000Z",
});

describe("objects", () => {
  test("are seen by another process with its next look, in their last version, removed ones not", async () => {
    const one = laboratory.openStore();
    const two = laboratory.openStore();
    await one.start();
    await two.start();
    await one.put("organization", "acme", SCOPE, organization("first"));
    await one.put("organization", "acme", SCOPE, organization("second"));
    expect(two.find("organization", "acme")).toBeUndefined();
    await two.refresh();
    expect(two.find("organization", "acme")?.body.name).toBe("second");
    await two.remove("organization", "acme");
    await one.refresh();
    expect(one.list("organization")).toEqual([]);
    // The rows of before are read again and must not bring it back.
    await one.refresh();
    expect(one.find("organization", "acme")).toBeUndefined();
    await Promise.all([one.stop(), two.stop()]);
  });

  test("of a version that is not the expected one are refused, and nothing changes", async () => {
    const store = laboratory.openStore();
    const { version } = await store.put("organization", "acme", SCOPE, organization("one"), 0);
    await store.put("organization", "acme", SCOPE, organization("two"), version);
    const stale = store.put("organization", "acme", SCOPE, organization("three"), version);
    await expect(stale).rejects.toMatchObject({ code: "state_changed" });
    await expect(store.remove("organization", "acme", 1)).rejects.toMatchObject({
      code: "state_changed",
    });
    expect(store.find("organization", "acme")?.body.name).toBe("two");
  });

  test("are not in memory when ClickHouse did not take them", async () => {
    const store = laboratory.openStore();
    laboratory.is_away = true;
    await expect(store.put("organization", "acme", SCOPE, organization("x"))).rejects.toThrow(
      "does not answer",
    );
    expect(store.find("organization", "acme")).toBeUndefined();
    laboratory.is_away = false;
    await store.put("organization", "acme", SCOPE, organization("y"));
    expect(store.find("organization", "acme")?.body.name).toBe("y");
  });

  test("with a shape that is not theirs are refused before anything is written", async () => {
    const store = laboratory.openStore();
    const wrong = { ...organization("x"), is_admin: true };
    await expect(store.put("organization", "acme", SCOPE, wrong)).rejects.toThrow("is_admin");
    await store.refresh();
    expect(store.list("organization")).toEqual([]);
  });

  test("versions grow, also when the clock goes back", async () => {
    const store = laboratory.openStore();
    const first = await store.put("organization", "acme", SCOPE, organization("one"));
    laboratory.now_ms -= 3_600_000;
    const second = await store.put("organization", "acme", SCOPE, organization("two"));
    expect(second.version).toBeGreaterThan(first.version);
    const other = laboratory.openStore();
    await other.refresh();
    expect(other.find("organization", "acme")?.body.name).toBe("two");
  });
});

describe("the copy on disk", () => {
  test("A06 lets keys hold after a start without ClickHouse, and is told from what ClickHouse says", async () => {
    const snapshot = makeSnapshot();
    const before = laboratory.openStore(snapshot);
    await before.start();
    await addProject(before, "shop", "acme");
    const { key, key_id } = await addKey(before);
    await before.stop();
    laboratory.is_away = true;
    const after = laboratory.openStore(snapshot);
    await after.start();
    expect(after.isKnown).toBe(true);
    expect(after.age_ms).toBeNull();
    const authenticator = new Authenticator({
      state: after,
      now_ms: () => laboratory.now_ms,
      api_key: null,
      allows_keyless: true,
      max_stale_ms: 60_000,
    });
    const headers = { "x-api-key": key };
    expect(authenticator.findSender(headers)).toMatchObject({ project_id: "shop", key_id });
    expect(authenticator.identify({})).toMatchObject({ problem: "missing" });
    // It may have been made since the copy was.
    const later = { "x-api-key": makeKey().key };
    expect(authenticator.identify(later)).toMatchObject({ problem: "unavailable" });
    laboratory.is_away = false;
    await revokeKey(before, before.find("key", key_id)!, laboratory.now_ms);
    await after.refresh();
    expect(authenticator.identify(headers)).toMatchObject({ problem: "revoked" });
    expect(authenticator.identify(later)).not.toMatchObject({ problem: "unavailable" });
    await after.stop();
  });

  test("is readable by its owner alone, whole or not there, and a broken one is as none", async () => {
    const directory = mkdtempSync(join(tmpdir(), "spanledger-state-"));
    const path = join(directory, "state.json");
    const file = snapshotAt(path);
    expect(await file.read()).toBeNull();
    const store = laboratory.openStore(file);
    await store.start();
    const { key, key_id } = await addKey(store);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readFileSync(path, "utf8")).not.toContain(key);
    const read = await file.read();
    expect(read?.objects).toMatchObject([{ kind: "key", object_id: key_id }]);
    const whole = readFileSync(path, "utf8");
    for (const text of ["", "{", whole.slice(0, -5), '{"format":2,"objects":[]}', "[]"]) {
      writeFileSync(path, text);
      expect(await file.read()).toBeNull();
    }
    // What a newer version knows, or what does not fit, is left out; the rest holds.
    const objects = [
      ...(JSON.parse(whole) as { objects: object[] }).objects,
      {
        kind: "novelty",
        object_id: "x",
        organization_id: null,
        project_id: null,
        body: {},
        version: 1,
      },
      {
        kind: "key",
        object_id: "y",
        organization_id: null,
        project_id: null,
        body: {},
        version: 1,
      },
    ];
    writeFileSync(path, JSON.stringify({ format: 1, objects }));
    expect((await file.read())?.objects).toHaveLength(1);
    await store.stop();
    rmSync(directory, { recursive: true });
  });
});

describe("keys", () => {
  const owner = { ...makeOperator("k-owner", ["admin"]), kind: "key" as const };

  test("have no scope that their maker lacks; admin may give read", async () => {
    const state = laboratory.openStore();
    const find = (scopes: ("ingest" | "read" | "admin")[]) =>
      findExcess(state, owner, { scopes, allowed_service_name: null });
    expect(find(["read", "admin"])).toBeNull();
    expect(find(["ingest"])).toContain("ingest");
  });

  test("of a maker that may send one service are for that service too", async () => {
    const state = laboratory.openStore();
    const scopes = ["ingest" as const];
    const { key_id } = await addKey(state, { allowed_service_name: "checkout" });
    const maker = { ...makeOperator(key_id), kind: "key" as const };
    expect(findExcess(state, maker, { scopes, allowed_service_name: null })).not.toBeNull();
    expect(findExcess(state, maker, { scopes, allowed_service_name: "other" })).not.toBeNull();
    expect(findExcess(state, maker, { scopes, allowed_service_name: "checkout" })).toBeNull();
  });

  test("a rotation without an overlap revokes at once: an end would hold for a minute more", async () => {
    const state = laboratory.openStore();
    const { key_id } = await addKey(state, {});
    const change = { overlap_ms: 0, expires_at: null };
    await replaceKey(state, owner, state.find("key", key_id)!, change, laboratory.now_ms);
    expect(state.find("key", key_id)?.body.revoked_at).toBe(
      new Date(laboratory.now_ms).toISOString(),
    );
  });

  test("of a rotation both hold during the overlap, never longer than the old one would have", async () => {
    const state = laboratory.openStore();
    const soon = new Date(laboratory.now_ms + 1_000).toISOString();
    for (const expires_at of [null, soon]) {
      const { key_id } = await addKey(state, { expires_at });
      const change = { overlap_ms: 60_000, expires_at: null };
      const old = state.find("key", key_id)!;
      const { object } = await replaceKey(state, owner, old, change, laboratory.now_ms);
      const after = state.find("key", key_id)?.body;
      expect(after?.replaced_by).toBe(object.object_id);
      const end_ms = laboratory.now_ms + (expires_at === null ? 60_000 : 1_000);
      expect(Date.parse(after?.expires_at ?? "")).toBe(end_ms);
      const { key_id: _a, sha256: _b, created_at: _c, created_by: _d, ...kept } = object.body;
      const { key_id: _e, sha256: _f, created_at: _g, created_by: _h, ...given } = old.body;
      expect({ ...kept, expires_at: null }).toEqual({ ...given, expires_at: null });
    }
  });

  test("of a rotation that loses a race leave nothing behind", async () => {
    const state = laboratory.openStore();
    const { key_id } = await addKey(state);
    const old = state.find("key", key_id)!;
    await revokeKey(state, old, laboratory.now_ms);
    const change = { overlap_ms: 0, expires_at: null };
    await expect(replaceKey(state, owner, old, change, laboratory.now_ms)).rejects.toMatchObject({
      code: "state_changed",
    });
    expect(state.list("key").map(({ object_id }) => object_id)).toEqual([key_id]);
    expect(state.find("key", key_id)?.body.revoked_at).not.toBeNull();
  });

  test("are stored by their hash alone", async () => {
    const state = laboratory.openStore();
    const { key, object } = await storeKey(
      state,
      owner,
      {
        ...SCOPE,
        name: "k",
        scopes: ["read"],
        expires_at: null,
        allowed_service_name: null,
        member_id: null,
      },
      laboratory.now_ms,
    );
    expect(JSON.stringify(object)).not.toContain(key.slice(14, 46));
  });

  test("when they were used is known to the hour, stored once an hour, and not of keys that are gone", async () => {
    const state = laboratory.openStore();
    const { key_id } = await addKey(state);
    const use = new KeyUse({ state, log: NO_LOG, now_ms: () => laboratory.now_ms });
    laboratory.now_ms += 125_000;
    use.note(key_id);
    use.note("gone");
    laboratory.is_away = true;
    await use.flush();
    laboratory.is_away = false;
    await use.flush();
    expect(new Date(lastUsedMs(state, key_id) ?? 0).toISOString()).toBe("2026-11-21T12:00:00.000Z");
    const version = state.find("key_use", key_id)?.version;
    use.note(key_id);
    await use.flush();
    expect(state.find("key_use", key_id)?.version).toBe(version);
    expect(state.list("key_use")).toHaveLength(1);
  });
});

describe("on ClickHouse", () => {
  let ledger: TestEngine;
  let clickhouse: FakeClickHouse;
  const engines: Engine[] = [];
  beforeAll(async () => {
    ledger = await openTestEngine();
    const directory = `${ledger.directory}/clickhouse`;
    clickhouse = await startFakeClickHouse({ directory, database: "spanledger" });
  });
  afterAll(async () => {
    for (const engine of engines) await engine.close();
    await clickhouse.close();
    await ledger.close();
  });

  function openReal(): StateStore {
    const engine = openServer({ url: clickhouse.url, limits: DEFAULT_ENGINE_LIMITS });
    engines.push(engine);
    return new StateStore({
      engine,
      log: NO_LOG,
      now_ms: Date.now,
      refresh_ms: 2_000,
      snapshot: null,
    });
  }

  test("A04 a key that one collector revokes is refused by another within five seconds", async () => {
    const [here, there] = [openReal(), openReal()];
    await Promise.all([here.start(), there.start()]);
    await addProject(here, "shop", "acme");
    const { key, key_id } = await addKey(here);
    const authenticator = new Authenticator({
      state: there,
      now_ms: Date.now,
      api_key: null,
      allows_keyless: false,
      max_stale_ms: 60_000,
    });
    const problem = async () => {
      const identity = authenticator.identify({ "x-api-key": key });
      return "problem" in identity ? identity.problem : "none";
    };
    await eventually(problem, (found) => found === "none", 10_000);
    await revokeKey(here, here.find("key", key_id)!, Date.now());
    const { took_ms } = await eventually(problem, (found) => found === "revoked", 10_000);
    expect(took_ms).toBeLessThan(5_000);
    await Promise.all([here.stop(), there.stop()]);
  }, 30_000);

  test("the audit log is a chain: a row that is changed, or left out, breaks it", async () => {
    const log = new AuditLog(ledger.engine, "writer-1");
    const row = {
      organization_id: "acme",
      project_id: "shop",
      at_ms: Date.UTC(2026, 10, 21),
      actor_kind: "key",
      actor_id: "k1",
      actor_name: "ci",
      action: "keys:manage",
      object_kind: "key",
      outcome: "done",
      detail: "{}",
      remote_address: "203.0.113.77",
      request_id: "r",
    };
    await Promise.all(["a", "b", "c"].map((object_id) => log.write({ ...row, object_id })));
    const rows = await ledger.engine.query<Record<string, string | number>>(
      `SELECT *, toInt64(toUnixTimestamp64Milli(at)) AS at_ms FROM audit_log
       WHERE writer_id = 'writer-1' ORDER BY sequence`,
    );
    expect(rows.map(({ object_id, sequence }) => [object_id, Number(sequence)])).toEqual([
      ["a", 1],
      ["b", 2],
      ["c", 3],
    ]);
    const typed = rows.map((entry) => ({
      ...entry,
      sequence: Number(entry["sequence"]),
      at_ms: Number(entry["at_ms"]),
    })) as Parameters<typeof hashEntry>[0][];
    let previous = "";
    for (const [index, entry] of typed.entries()) {
      expect(entry.previous_sha256).toBe(previous);
      previous = String(rows[index]?.["sha256"]);
      expect(hashEntry(entry)).toBe(previous);
      for (const name of ["actor_id", "action", "detail", "outcome"] as const) {
        expect(hashEntry({ ...entry, [name]: "other" })).not.toBe(previous);
      }
    }
    expect(rows.map(({ remote_address }) => remote_address)).toEqual(Array(3).fill("203.0.113.0"));
  });

  test.each([
    ["192.0.2.7", "192.0.2.0"],
    ["::ffff:192.0.2.7", "192.0.2.0"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1::"],
    ["", ""],
    ["a-host", ""],
  ])("of the address %s the audit log keeps %s", (address, kept) => {
    expect(coarseAddress(address)).toBe(kept);
  });
});
