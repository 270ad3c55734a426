/** Exports on a real engine: every row once, files that are what the manifest says, and their bounds. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Engine } from "../clickhouse/engine.ts";
import { addProjects } from "../test/support/api.ts";
import { openTestEngine, type TestEngine } from "../test/support/engine.ts";
import { replaceMethods } from "../test/support/ledger.ts";
import { requestErasure } from "./erase.ts";
import { listExportFiles, MAX_PROJECT_EXPORTS, PAGE_ROWS, requestExport } from "./export.ts";
import { clearAll, deliver, makeCall, openWorkshop, recompute, type Workshop } from "./fixture.ts";
import { JobRunner } from "./jobs.ts";

const NOW_MS = Date.UTC(2026, 10, 21, 12);
const DAY_S = 86_400;
const NOON_S = NOW_MS / 1000;
const SCOPE = { project_id: "alpha", organization_id: "alpha" };

let test_engine: TestEngine;
let engine: Engine;
let shop: Workshop;

beforeAll(async () => {
  test_engine = await openTestEngine();
  engine = test_engine.engine;
});
afterAll(() => test_engine.close());
beforeEach(async () => {
  await clearAll(engine);
  shop = await openWorkshop(engine, { now_ms: NOW_MS });
  await addProjects(shop.tools.state, ["alpha", "beta"]);
});
afterEach(() => shop.close());

function call(project_id: string, at_s: number, tokens: number) {
  return makeCall({ project_id, user_id: "ben", at_s, tokens });
}

async function readRows(export_id: string, table: string): Promise<Record<string, unknown>[]> {
  const files = (await listExportFiles(shop.tools.exports, export_id)) ?? [];
  return files
    .filter((file) => file.table === table)
    .flatMap(({ name, bytes, sha256, rows }) => {
      const content = readFileSync(join(shop.directory, "exports", export_id, name));
      expect(content.length).toBe(bytes);
      expect(createHash("sha256").update(content).digest("hex")).toBe(sha256);
      const lines = gunzipSync(content).toString("utf8").trimEnd().split("\n");
      expect(lines).toHaveLength(rows);
      return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    });
}

describe("an export", () => {
  test("has every row of the project once, nothing of another, and what the manifest says", async () => {
    const days = [0, 1, 2].flatMap((days_ago) =>
      Array.from({ length: 20 }, (_none, index) =>
        call("alpha", NOON_S - days_ago * DAY_S + index * 60, index + 1),
      ),
    );
    await deliver(engine, days);
    await deliver(engine, days.slice(0, 10));
    await deliver(engine, [call("beta", NOON_S, 777)]);
    await recompute(engine);
    const stamp = "2026-11-01T00:00:00.000Z";
    await shop.tools.state.put("channel", "c1", SCOPE, {
      channel_id: "c1",
      project_id: "alpha",
      kind: "webhook",
      name: "on call",
      url: "https://hooks.example.com/canary-path",
      secret: "canary-secret-0123456789",
      to: [],
      is_enabled: true,
      created_at: stamp,
      updated_at: stamp,
    });
    const job = await requestExport(shop.tools, SCOPE, "editor");
    await shop.finish();
    expect(shop.findJob(job.job_id)).toMatchObject({ state: "done", share: 1 });
    const spans = await readRows(job.job_id, "spans");
    const hex = (id: Uint8Array) => Buffer.from(id).toString("hex");
    expect(spans.map((row) => String(row["span_id"])).toSorted()).toEqual(
      days.map(({ span_id }) => hex(span_id)).toSorted(),
    );
    expect(new Set(spans.map(({ project_id }) => project_id))).toEqual(new Set(["alpha"]));
    const tokens = (rows: Record<string, unknown>[]) =>
      rows.reduce((sum, row) => sum + Number(row["tokens_input_uncached"]), 0);
    expect(tokens(spans)).toBe(3 * 210);
    expect(spans[0]?.["trace_id"]).toMatch(/^[0-9a-f]{32}$/);
    for (const table of ["usage_15m", "usage_day", "usage_user_day"]) {
      expect({ table, tokens: tokens(await readRows(job.job_id, table)) }).toEqual({
        table,
        tokens: 3 * 210,
      });
    }
    const settings = await readRows(job.job_id, "settings");
    expect(settings).toMatchObject([
      { kind: "project", object_id: "alpha" },
      { kind: "channel", object_id: "c1" },
    ]);
    expect(JSON.stringify(settings)).not.toContain("canary");
  });

  test("cuts a day into pages and loses nothing at their edges", async () => {
    const at_s = NOON_S;
    await engine.command(
      `INSERT INTO spans (project_id, ts, trace_id, span_id, span_class, ingest_seq)
       SELECT 'alpha', toDateTime64(${at_s}, 9, 'UTC') + toIntervalNanosecond(number * 250000000),
       unhex(hex(sipHash128(number))), unhex(hex(sipHash64(number))), 'other', 1
       FROM numbers(${PAGE_ROWS * 2 + 37})`,
    );
    const job = await requestExport(shop.tools, SCOPE, "editor");
    await shop.finish();
    const spans = await readRows(job.job_id, "spans");
    expect(spans).toHaveLength(PAGE_ROWS * 2 + 37);
    expect(new Set(spans.map(({ span_id }) => span_id)).size).toBe(PAGE_ROWS * 2 + 37);
  });

  test("that is killed in a file goes on with that file", async () => {
    await deliver(engine, [call("alpha", NOON_S, 1), call("alpha", NOON_S - DAY_S, 2)]);
    await recompute(engine);
    const job = await requestExport(shop.tools, SCOPE, "editor");
    let queries = 0;
    const breaking = replaceMethods(engine, {
      query: async (sql, params) => {
        if ((queries += 1) > 4) throw new Error("killed");
        return engine.query(sql, params);
      },
    });
    const dying = new JobRunner({
      tools: { ...shop.tools, engine: breaking },
      lease: null,
      max_jobs: 1,
    });
    await dying.round();
    expect(shop.findJob(job.job_id)).toMatchObject({ state: "waiting", failures: 1 });
    await shop.finish();
    expect(shop.findJob(job.job_id).state).toBe("done");
    expect(await readRows(job.job_id, "spans")).toHaveLength(2);
    expect(await readRows(job.job_id, "usage_day")).toHaveLength(2);
  });

  test("names its files by numbers alone, below a random id", async () => {
    await deliver(engine, [call("alpha", NOON_S, 1)]);
    const job = await requestExport(shop.tools, SCOPE, "../../editor");
    await shop.finish();
    expect(readdirSync(join(shop.directory, "exports"))).toEqual([job.job_id]);
    const names = readdirSync(join(shop.directory, "exports", job.job_id));
    for (const name of names) {
      expect(name).toMatch(/^(\d{6}\.ndjson\.gz(\.note)?|manifest\.json|plan\.json)$/);
    }
  });

  test.each([
    "../manifest.json",
    "plan.json",
    "000001.ndjson.gz.note",
    "",
    "000009.ndjson.gz",
    "C:",
    "\0",
  ])("A20: opens no file by the name %j", async (name) => {
    const job = await requestExport(shop.tools, SCOPE, "editor");
    await shop.finish();
    expect(await shop.tools.exports.open(job.job_id, name)).toBeNull();
    expect(await shop.tools.exports.open("../exports", "manifest.json")).toBeNull();
  });

  test("fails with what to do when the disk for exports is used up", async () => {
    await shop.close();
    shop = await openWorkshop(engine, { now_ms: NOW_MS, max_export_bytes: 10 });
    await deliver(engine, [call("alpha", NOON_S, 1)]);
    const job = await requestExport(shop.tools, SCOPE, "editor");
    await shop.finish();
    expect(shop.findJob(job.job_id)).toMatchObject({ state: "failed" });
    expect(shop.findJob(job.job_id).problem).toContain("SPANLEDGER_EXPORT_MAX_BYTES");
  });

  test("expires, and is refused when the project has too many", async () => {
    for (let count = 0; count < MAX_PROJECT_EXPORTS; count += 1) {
      await requestExport(shop.tools, SCOPE, "editor");
    }
    await expect(requestExport(shop.tools, SCOPE, "editor")).rejects.toThrow(/at most 10/);
    await shop.finish();
    expect(await shop.tools.exports.list()).toHaveLength(MAX_PROJECT_EXPORTS);
    shop.clock.ms += 8 * DAY_S * 1000;
    await shop.runner.round();
    expect(await shop.tools.exports.list()).toEqual([]);
    await requestExport(shop.tools, SCOPE, "editor");
  });

  test("goes when a user of the project is erased", async () => {
    await deliver(engine, [call("alpha", NOON_S, 1), call("beta", NOON_S, 1)]);
    const job = await requestExport(shop.tools, SCOPE, "editor");
    const other = { project_id: "beta", organization_id: "beta" };
    const kept = await requestExport(shop.tools, other, "editor");
    await shop.finish();
    await requestErasure(shop.tools, { ...SCOPE, requested_by: "owner" }, { user_id: "ben" });
    await shop.finish();
    expect(await shop.tools.exports.list()).toEqual([kept.job_id]);
    expect(shop.findJob(job.job_id)).toMatchObject({ work: { is_removed: true } });
  });
});
