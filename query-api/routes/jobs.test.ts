/** Jobs, erasures and exports over HTTP: who may, what is told, and what is written down. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Engine } from "../../clickhouse/engine.ts";
import { clearAll, deliver, makeCall, openWorkshop, type Workshop } from "../../rights/fixture.ts";
import { type Identity, makeOperator, type Scope } from "../../schemas/access.ts";
import { ErasureAnswer, ExportAnswer, JobAnswer, JobsAnswer } from "../../schemas/jobs.ts";
import { addProjects, makeTestApi, readStrictly, type TestApi } from "../../test/support/api.ts";
import { openTestEngine, type TestEngine } from "../../test/support/engine.ts";

const NOW_MS = Date.UTC(2026, 10, 21, 12);
const USER = "anna@example.com";

let test_engine: TestEngine;
let engine: Engine;
let shop: Workshop;
let api: TestApi;

/** Keys such as `alpha-admin`: the project and the scope. */
function identify(headers: Readonly<Record<string, string>>): Identity {
  const [project_id = "", scope = ""] = (headers["x-api-key"] ?? "").split("-");
  return {
    actor: {
      ...makeOperator("key", [scope as Scope]),
      kind: "key",
      name: `${project_id} ${scope}`,
      organization_id: project_id,
      project_id,
    },
    expires_at_ms: null,
  };
}

beforeAll(async () => {
  test_engine = await openTestEngine();
  engine = test_engine.engine;
});
afterAll(() => test_engine.close());
beforeEach(async () => {
  await clearAll(engine);
  shop = await openWorkshop(engine, { now_ms: NOW_MS });
  await addProjects(shop.tools.state, ["alpha", "beta"]);
  api = makeTestApi(engine, {
    state: shop.tools.state,
    exports: shop.tools.exports,
    now_ms: () => shop.clock.ms,
    authenticate: identify,
  });
});
afterEach(() => shop.close());

function post(path: string, body: unknown, key = "alpha-admin") {
  const headers = { "content-type": "application/json" };
  const init = body === undefined ? {} : { headers, body: JSON.stringify(body) };
  return api.ask(path, key, { method: "POST", ...init });
}

function call(project_id: string) {
  return makeCall({ project_id, user_id: USER, at_s: NOW_MS / 1000, tokens: 5 });
}

describe("an erasure over HTTP", () => {
  test("is accepted, followed and proved, and its user is named nowhere", async () => {
    await deliver(engine, [call("alpha"), call("beta")]);
    const begun = await post("/v1/erasures", { user_id: USER });
    expect(begun.status).toBe(202);
    const { job } = readStrictly(ErasureAnswer, begun.json);
    expect(job).toMatchObject({ kind: "erasure", state: "queued", created_by: "alpha admin" });
    await shop.finish();
    const done = await api.ask(`/v1/erasures/${job.job_id}`, "alpha-admin");
    const { receipt } = readStrictly(ErasureAnswer, done.json);
    expect(receipt).toMatchObject({ rows_before: { spans: 1 }, rows_after: { spans: 0 } });
    expect(api.audited).toMatchObject([
      { action: "data:erase", object_kind: "user", object_id: job.job_id, outcome: "done" },
    ]);
    const told = [done.text, begun.text, JSON.stringify(api.audited), JSON.stringify(api.log)];
    expect(told.join().includes("anna")).toBe(false);
  });

  test("is refused to a reader, and unknown to another project", async () => {
    expect((await post("/v1/erasures", { user_id: USER }, "alpha-read")).status).toBe(403);
    const { job } = readStrictly(
      ErasureAnswer,
      (await post("/v1/erasures", { user_id: USER })).json,
    );
    for (const path of [`/v1/erasures/${job.job_id}`, `/v1/jobs/${job.job_id}`]) {
      expect({ path, status: (await api.ask(path, "beta-admin")).status }).toEqual({
        path,
        status: 404,
      });
    }
    expect((await api.ask(`/v1/exports/${job.job_id}`, "alpha-admin")).status).toBe(404);
    expect((await api.ask("/v1/jobs", "beta-admin")).json).toEqual({ jobs: [], next_cursor: null });
  });

  test.each([{}, { user_id: "" }, { user_id: USER, late_days: 0 }, { user_id: USER, who: 1 }])(
    "with the body %j is a 400",
    async (body) => {
      expect((await post("/v1/erasures", body)).status).toBe(400);
      expect(shop.tools.state.list("job")).toEqual([]);
    },
  );

  test("can be called off until it removes, and then goes to its end", async () => {
    await deliver(engine, [call("alpha")]);
    const first = readStrictly(ErasureAnswer, (await post("/v1/erasures", { user_id: USER })).json);
    const path = `/v1/erasures/${first.job.job_id}`;
    expect((await api.ask(path, "alpha-admin", { method: "DELETE" })).status).toBe(200);
    await shop.finish();
    expect((await api.ask(path, "alpha-admin")).json).toMatchObject({ job: { state: "canceled" } });
    expect(shop.tools.state.list("erasure")).toEqual([]);
    expect(await engine.query("SELECT 1 FROM spans FINAL")).toHaveLength(1);
    expect((await api.ask(path, "alpha-admin", { method: "DELETE" })).status).toBe(409);
  });
});

describe("an export over HTTP", () => {
  test("is made, listed and fetched by its project alone", async () => {
    await deliver(engine, [call("alpha"), call("beta")]);
    const begun = await post("/v1/exports", undefined);
    expect(begun.status).toBe(202);
    const { job } = readStrictly(ExportAnswer, begun.json);
    await shop.finish();
    const told = readStrictly(
      ExportAnswer,
      (await api.ask(`/v1/exports/${job.job_id}`, "alpha-admin")).json,
    );
    expect(told.files.map(({ table }) => table)).toContain("spans");
    expect(told.expires_at).not.toBeNull();
    const manifest = await api.ask(`/v1/exports/${job.job_id}/files/manifest.json`, "alpha-admin");
    expect(manifest.status).toBe(200);
    expect(manifest.headers.get("content-disposition")).toContain("manifest.json");
    expect(JSON.parse(manifest.text)).toMatchObject({ project: "alpha", rows: { spans: 1 } });
    expect(api.audited.map(({ action }) => action)).toEqual(["data:export", "data:export"]);
    for (const key of ["beta-admin", "alpha-read"]) {
      const { status } = await api.ask(`/v1/exports/${job.job_id}/files/manifest.json`, key);
      expect({ key, status }).toEqual({ key, status: key === "beta-admin" ? 404 : 403 });
    }
    const gone = await api.ask(`/v1/exports/${job.job_id}`, "alpha-admin", { method: "DELETE" });
    expect(gone.json).toMatchObject({ files: [] });
    const after = await api.ask(`/v1/exports/${job.job_id}/files/manifest.json`, "alpha-admin");
    expect(after.status).toBe(404);
  });

  test.each(["..%2Fplan.json", "plan.json", "%2e%2e%2f%2e%2e%2fmanifest.json", "a%00b"])(
    "A20: answers 404 for the file %s",
    async (name) => {
      const { job } = readStrictly(ExportAnswer, (await post("/v1/exports", undefined)).json);
      await shop.finish();
      const { status } = await api.ask(`/v1/exports/${job.job_id}/files/${name}`, "alpha-admin");
      expect(status).toBe(404);
    },
  );
});

describe("jobs", () => {
  test("are listed newest first, page by page, each once", async () => {
    for (let count = 0; count < 5; count += 1) {
      shop.clock.ms += 1_000;
      await post("/v1/exports", undefined);
    }
    const seen: string[] = [];
    let cursor = "";
    for (let page = 0; page < 5; page += 1) {
      const query = `?limit=2${cursor === "" ? "" : `&cursor=${encodeURIComponent(cursor)}`}`;
      const answer = readStrictly(
        JobsAnswer,
        (await api.ask(`/v1/jobs${query}`, "alpha-read")).json,
      );
      seen.push(...answer.jobs.map(({ created_at }) => created_at));
      if (answer.next_cursor === null) break;
      cursor = answer.next_cursor;
    }
    expect(seen).toHaveLength(5);
    expect(seen).toEqual(seen.toSorted().reverse());
    expect((await api.ask("/v1/jobs?limit=0", "alpha-read")).status).toBe(400);
    expect((await api.ask("/v1/jobs?kind=erasure", "alpha-read")).json).toMatchObject({ jobs: [] });
  });

  test("tell how far they are", async () => {
    const { job } = readStrictly(ExportAnswer, (await post("/v1/exports", undefined)).json);
    const before = readStrictly(
      JobAnswer,
      (await api.ask(`/v1/jobs/${job.job_id}`, "alpha-read")).json,
    );
    expect(before).toMatchObject({ state: "queued", progress_share: 0, eta_s: null });
    await shop.finish();
    const after = readStrictly(
      JobAnswer,
      (await api.ask(`/v1/jobs/${job.job_id}`, "alpha-read")).json,
    );
    expect(after).toMatchObject({ state: "done", progress_share: 1, problem: null });
    expect(after.rows).toBeGreaterThan(0);
  });
});
