/**
 * Everything that can be asked wrongly: one shape of error, the right status, nothing told that is
 * not the client's, and no text that reaches the SQL as anything but a value.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  CallsAnswer,
  CallsQuery,
  ErrorAnswer,
  MAX_FILTER_VALUES,
  UsageAnswer,
  UsageQuery,
} from "../schemas/api.ts";
import { PermanentError, RetryableError } from "../schemas/errors.ts";
import { DIMENSIONS } from "../schemas/usage.ts";
import { makeReader, makeTestApi, readStrictly, type TestApi } from "../test/support/api.ts";
import { openTestEngine, type TestEngine } from "../test/support/engine.ts";
import { insertSpans, replaceMethods } from "../test/support/ledger.ts";
import { idBytes, makeSpan } from "../test/support/span.ts";
import { makeOpenApi } from "./openapi.ts";
import { describeRoutes } from "./routes.ts";

const TRACE_ID = "ab".repeat(16);
const CALL_ID = `${TRACE_ID}-a1a2a3a4a5a6a7a8`;
const RANGE = "from=2026-10-24&to=2026-10-25";

let test_engine: TestEngine;
let api: TestApi;

beforeAll(async () => {
  test_engine = await openTestEngine();
  api = makeTestApi(test_engine.engine);
  const start_ns = BigInt(Date.UTC(2026, 9, 24, 5)) * 1_000_000n;
  const one = { start_ns, trace_id: idBytes(TRACE_ID), user_id: "ann" };
  await insertSpans(
    test_engine.engine,
    [
      makeSpan({ ...one, project_id: "alpha" }),
      makeSpan({ ...one, project_id: "beta", user_id: "bob", provider: "secret of beta" }),
    ],
    1,
  );
});
afterAll(() => test_engine.close());

interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly message: string;
  readonly path: string | undefined;
}

/** A path of the document with the trace and the call that are there. */
function fillPath(path: string): string {
  return path.replace("{trace_id}", TRACE_ID).replace("{call_id}", CALL_ID);
}

const DOCUMENT = makeOpenApi(describeRoutes(), "1") as {
  paths: Record<string, { get?: { responses: Record<string, unknown> } }>;
};

/** The error of a request, in the one shape and with a status that the document has. */
async function readError(
  path: string,
  ask: TestApi["ask"] = (...args) => api.ask(...args),
): Promise<Refusal> {
  const { status, headers, json, text } = await ask(path);
  expect(json, `${path} answered ${status} ${text.slice(0, 200)}`).toHaveProperty("error");
  const { error } = readStrictly(ErrorAnswer, json);
  expect(headers.get("content-type")).toMatch(/^application\/json/);
  expect(headers.get("x-content-type-options")).toBe("nosniff");
  expect(headers.get("cache-control")).toBe("no-store");
  const route = path
    .replace(/\?.*$/, "")
    .replace(/^(\/v1\/traces\/).+$/, "$1{trace_id}")
    .replace(/^(\/v1\/calls\/).+(\/explain)$/, "$1{call_id}$2");
  const documented = DOCUMENT.paths[route]?.get?.responses;
  if (documented !== undefined) expect(Object.keys(documented)).toContain(String(status));
  return { status, code: error.code, message: error.message, path: error.details[0]?.path };
}

const BAD_QUERIES: readonly (readonly [string, string])[] = [
  // [query, the parameter that is named]
  ["form=2026-10-24", "form"],
  ["FROM=2026-10-24", "FROM"],
  ["user=ann", "user"],
  ["__proto__=1", "__proto__"],
  ["constructor=1", "constructor"],
  ["=1", ""],
  ["from=2026-10-24&from=2026-10-25", "from"],
  ["limit=1&limit=1", "limit"],
  ["limit=0", "limit"],
  ["limit=-1", "limit"],
  ["limit=1.5", "limit"],
  ["limit=1e2", "limit"],
  ["limit=", "limit"],
  ["limit=99999999999999999999", "limit"],
  ["from=yesterday", "from"],
  ["from=", "from"],
  ["from=2026-13-01", "from"],
  ["from=2026-02-30", "from"],
  ["from=2026-10-24T08:00:00", "from"],
  ["from=2026-10-24T25:00:00Z", "from"],
  ["from=1792800000", "from"],
  ["from=0001-01-01&to=0001-01-02", "from"],
  ["from=1969-12-31", "from"],
  ["from=2105-12-31&to=2106-01-02", "to"],
  ["from=9999-12-01&to=9999-12-31T23:59:59-23:59", "from"],
  ["from=2026-10-25&to=2026-10-24", "from"],
  ["from=2026-10-25&to=2026-10-25", "from"],
  ["from=2010-01-01&to=2026-01-01", "from"],
  ["to=1970-01-01", "from"],
  [`user_id=${"x".repeat(1025)}`, "user_id"],
  [Array.from({ length: MAX_FILTER_VALUES + 1 }, () => "user_id=a").join("&"), "user_id"],
];

test("a query that is wrong on every route is a 400 that names the parameter", async () => {
  for (const route of ["/v1/usage", "/v1/calls"]) {
    for (const [query, path] of BAD_QUERIES) {
      const refusal = await readError(`${route}?${query}`);
      expect({ query, ...refusal }).toMatchObject({ query, status: 400, path });
      expect(["invalid_query", "invalid_range"]).toContain(refusal.code);
      // "limit must be ...", never the words of the validator alone.
      expect(refusal.message).toMatch(/(^| )(must|may|is) |longer than/);
    }
  }
});

test("a query that is wrong on one route is a 400 there", async () => {
  const wrong: [string, string][] = [
    ["/v1/usage?tz=Mars/Olympus", "tz"],
    ["/v1/usage?tz=%2B05:30", "tz"],
    ["/v1/usage?tz=", "tz"],
    ["/v1/usage?tz=Europe/Berlin'", "tz"],
    ["/v1/usage?interval=minute", "interval"],
    ["/v1/usage?interval=", "interval"],
    ["/v1/usage?group_by=", "group_by"],
    ["/v1/usage?group_by=model,nothing", "group_by"],
    ["/v1/usage?group_by=constructor", "group_by"],
    ["/v1/usage?group_by=__proto__", "group_by"],
    ["/v1/usage?measures=cost_usd,price", "measures"],
    ["/v1/usage?measures=model", "measures"],
    ["/v1/usage?limit=10001", "limit"],
    [`/v1/usage?cursor=${"A".repeat(8_193)}`, "cursor"],
    ["/v1/usage?order_by=ttft", "order_by"],
    ["/v1/usage?order_by=model", "order_by"],
    ["/v1/usage?top=3", "top"],
    ["/v1/usage?group_by=model&top=0", "top"],
    ["/v1/usage?group_by=model&top=101", "top"],
    ["/v1/usage?compare=next", "compare"],
    ["/v1/usage?group_by=tag.", "group_by"],
    [`/v1/usage?group_by=tag.${"x".repeat(257)}`, "group_by"],
    [
      "/v1/usage?group_by=" + Array.from({ length: 17 }, (_, n) => `tag.${n}`).join(","),
      "group_by",
    ],
    ["/v1/usage?tag=search", "tag"],
    ["/v1/usage?tag.=search", "tag"],
    [`/v1/usage?tag.team=${"x".repeat(1025)}`, "tag"],
    ["/v1/usage?not_tag.=search", "not_tag"],
    ["/v1/usage?not_user=ann", "not_user"],
    ["/v1/calls?tag.team=search", "tag.team"],
    ["/v1/calls?not_model=x", "not_model"],
    ["/v1/usage?trace_id=" + TRACE_ID, "trace_id"],
    ["/v1/calls?limit=1001", "limit"],
    ["/v1/calls?status=unset", "status"],
    ["/v1/calls?status=", "status"],
    ["/v1/calls?trace_id=abc", "trace_id"],
    ["/v1/calls?group_by=model", "group_by"],
    [`/v1/calls?cursor=${"A".repeat(513)}`, "cursor"],
    [`/v1/traces/${TRACE_ID}?from=2026-10-24`, "from"],
    [`/v1/traces/${TRACE_ID}?=`, ""],
  ];
  for (const [url, path] of wrong) {
    const refusal = await readError(url);
    expect({ url, ...refusal }).toMatchObject({ status: 400, code: "invalid_query", path });
  }
});

test("several unknown parameters are all named", async () => {
  const { json } = await api.ask("/v1/usage?one=1&two=2&limit=x");
  const { error } = readStrictly(ErrorAnswer, json);
  expect(error.details.map((detail) => detail.path).sort()).toEqual(["limit", "one", "two"]);
});

test("zones are taken by any name of theirs, and never break the storage", async () => {
  const ask = async (tz: string) => {
    const { status, json } = await api.ask(
      `/v1/usage?${RANGE}&interval=day&tz=${encodeURIComponent(tz)}`,
    );
    return { status, json };
  };
  const good = [
    "europe/berlin",
    "EUROPE/BERLIN",
    "utc",
    "gmt",
    "JST",
    "Asia/Kathmandu",
    "Etc/GMT+5",
  ];
  for (const tz of good) {
    const { status, json } = await ask(tz);
    expect({ tz, status }).toEqual({ tz, status: 200 });
    expect(readStrictly(UsageAnswer, json)).toMatchObject({ tz, totals: { calls: 1 } });
  }
  // Known to some databases of zones only.
  for (const tz of ["SystemV/EST5", "America/Coyhaique", "Factory", "posixrules"]) {
    const { status } = await ask(tz);
    expect([200, 400], tz).toContain(status);
  }
});

test("dates at the edges of what can be asked for are answered", async () => {
  for (const query of [
    "from=1970-01-01&to=1970-01-02",
    "to=1970-01-01T00:00:00.001Z",
    "from=2105-12-30&to=2106-01-01T00:00:00Z",
    "from=2096-01-01T00:00:00.001Z&to=2105-12-31T23:59:59.999Z",
    "from=1999-12-30T23:59:59.999999999Z&to=2000-01-01",
  ]) {
    for (const route of ["/v1/usage?interval=day&tz=Asia/Kolkata&", "/v1/usage?", "/v1/calls?"]) {
      const { status, text } = await api.ask(route + query);
      expect({ query, status, text: status === 200 ? "" : text }).toEqual({
        query,
        status: 200,
        text: "",
      });
    }
  }
});

test("a request without a good key is a 401 that says how to send one", async () => {
  for (const path of ["/v1/usage", "/v1/calls", `/v1/traces/${TRACE_ID}`, "/metrics"]) {
    for (const key of [null, "", "key-gamma"]) {
      const refusal = await readError(path, (url) => api.ask(url, key));
      expect(refusal).toMatchObject({ status: 401, code: "unauthenticated" });
      expect(refusal.message).toContain("Authorization: Bearer");
      expect((await api.ask(path, key)).headers.get("www-authenticate")).toBe("Bearer");
    }
  }
});

test("without keys only loopback names are answered, on every route", async () => {
  const open = makeTestApi(test_engine.engine, {
    loopback_only: true,
    authenticate: () => ({ actor: makeReader("alpha"), expires_at_ms: null }),
  });
  const paths = [...Object.keys(DOCUMENT.paths), "/nowhere"].map((path) => fillPath(path));
  const own = ["localhost", "LOCALHOST:8080", "127.0.0.1:1", "127.9.9.9", "[::1]:8080"];
  const wrong = [
    "evil.example",
    "evil.example:8080",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
  ];
  for (const path of paths) {
    for (const host of [...wrong, "10.0.0.1", "[::2]", "localhost:8080@evil.example", ""]) {
      const refusal = await readError(path, (url) => open.ask(url, null, { headers: { host } }));
      expect(refusal).toMatchObject({ status: 403, code: "wrong_host" });
    }
  }
  for (const path of ["/healthz", "/openapi.json", "/v1/calls", "/nowhere"]) {
    for (const host of own) {
      const { status } = await open.ask(path, null, { headers: { host } });
      expect({ path, host, status }).toMatchObject({ status: path === "/nowhere" ? 404 : 200 });
    }
  }
});

test("a path that is no route is a 404", async () => {
  const paths = ["/v1", "/v1/usage/", "/v1/usages", "/v1/traces/", "/V1/USAGE", "/%"];
  for (const path of [
    ...paths,
    `/v1/traces/${TRACE_ID}/x`,
    "/v1/calls/%E0%A4%A",
    "//",
    "/page/x",
  ]) {
    expect(await readError(path)).toMatchObject({ status: 404, code: "not_found" });
  }
});

test("a method that a route does not have is a 405 that says which it has", async () => {
  for (const [path, operations] of Object.entries(DOCUMENT.paths)) {
    const documented = Object.keys(operations).map((name) => name.toUpperCase());
    const allowed = documented.flatMap((name) => (name === "GET" ? ["GET", "HEAD"] : [name]));
    for (const method of ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]) {
      if (allowed.includes(method)) continue;
      const url = fillPath(path);
      const { status, json, headers } = await api.ask(url, "key-alpha", { method });
      expect({ path, method, status }).toEqual({ path, method, status: 405 });
      expect(readStrictly(ErrorAnswer, json).error.code).toBe("method_not_allowed");
      expect(headers.get("allow")).toBe(allowed.join(", "));
    }
  }
  for (const path of ["/healthz", "/openapi.json", "/v1/calls", "/v1/live"]) {
    const head = await api.ask(path, "key-alpha", { method: "HEAD" });
    expect([path, head.status, head.text]).toEqual([path, 200, ""]);
  }
  expect((await api.ask("/nowhere", "key-alpha", { method: "POST" })).status).toBe(404);
});

/** The API over an engine whose every query fails so. */
function failing(error: unknown): TestApi {
  const query = async () => {
    throw error;
  };
  return makeTestApi(replaceMethods(test_engine.engine, { query }));
}

const QUERYING = [
  "/v1/usage",
  "/v1/calls",
  `/v1/traces/${TRACE_ID}`,
  `/v1/calls/${CALL_ID}/explain`,
];
const INNER_TEXT = "Code: 999. DB::Exception: secret of db.internal in /var/lib/clickhouse";

test("storage that is away is a 503 that says when to come back", async () => {
  for (const code of ["clickhouse_unavailable", "engine_busy", "clickhouse_210"]) {
    const away = failing(new RetryableError(code, INNER_TEXT));
    for (const path of QUERYING) {
      const refusal = await readError(path, (url) => away.ask(url));
      expect(refusal).toMatchObject({ status: 503, code: "storage_unavailable" });
      const { headers, text } = await away.ask(path);
      expect(headers.get("retry-after")).toBe("1");
      expect(text).not.toContain("secret");
    }
    expect(away.log.at(-1)).toEqual({ level: "error", message: INNER_TEXT });
  }
});

test("a query that takes too long or too much is a 504 that says what to do", async () => {
  for (const code of ["clickhouse_159", "clickhouse_241"]) {
    const slow = failing(new RetryableError(code, INNER_TEXT));
    for (const path of QUERYING) {
      const refusal = await readError(path, (url) => slow.ask(url));
      expect(refusal).toMatchObject({ status: 504, code: "query_too_expensive" });
      expect(refusal.message).toContain("shorter range");
      expect(refusal.message).not.toContain("secret");
    }
  }
});

test("a fault of ours is a 500 whose text stays in the log", async () => {
  const faults = [
    new Error(INNER_TEXT),
    new PermanentError("clickhouse_47", INNER_TEXT),
    new PermanentError("clickhouse_36", INNER_TEXT),
    new TypeError(INNER_TEXT),
  ];
  for (const fault of faults) {
    const broken = failing(fault);
    for (const path of QUERYING) {
      const refusal = await readError(path, (url) => broken.ask(url));
      expect(refusal).toMatchObject({ status: 500, code: "internal" });
      expect((await broken.ask(path)).text).not.toContain("secret");
    }
    expect(broken.log.at(-1)).toEqual({ level: "error", message: INNER_TEXT });
  }
});

const INJECTIONS: readonly string[] = [
  "'",
  "''",
  "\\'",
  "\\",
  "x' OR '1'='1",
  "') OR 1=1 --",
  "\\') OR 1=1 --",
  "'] OR 1=1 --",
  "','secret of beta",
  "'; DROP TABLE spans; --",
  "' UNION ALL SELECT * FROM spans --",
  "{project_id:String}",
  "{limit:UInt32}",
  "beta'; SET param_project_id = 'beta'; --",
  "a\nb\tc\rd\be\ff",
  "a\u0000b",
  "\u0000",
  "' /*",
  "`x`",
  '"',
  "ʼ or 1=1",
  "[]",
  "['bob']",
  "NULL",
  "\\N",
  "🙂\u2028'",
  "%27",
  "(SELECT 1)",
];

/** Rows of an answer, whatever route gave it. */
function countRows(json: unknown): number {
  const calls = CallsAnswer.safeParse(json);
  return calls.success ? calls.data.calls.length : UsageAnswer.parse(json).rows.length;
}

/** A request that must be refused, or answered with so many rows: of the project, and of no other. */
async function checkHarmless(route: string, params: URLSearchParams, rows = 0): Promise<void> {
  const url = `${route}?${params.toString()}`;
  const { status, json, text } = await api.ask(url);
  expect([200, 400], `${url} answered ${text.slice(0, 300)}`).toContain(status);
  expect(status === 400 ? rows : countRows(json), url).toBe(rows);
  expect(text).not.toContain("secret");
}

test("SQL in any parameter is refused or a value that nothing has", async () => {
  const routes = [
    ["/v1/usage", UsageQuery],
    ["/v1/calls", CallsQuery],
  ] as const;
  for (const [route, schema] of routes) {
    for (const name of Object.keys(schema.shape)) {
      // What leaves out values that nothing has leaves the one call of the project.
      const isExclusion = name.startsWith("not_") && name.slice(4) in DIMENSIONS;
      const isFilter = name in DIMENSIONS || isExclusion;
      // Each alone where it is cheap, and for one filter; all together for every filter.
      const each = isFilter && name !== "user_id" ? [] : INJECTIONS.map((text) => [text]);
      await Promise.all(
        [...each, ...(isFilter ? [INJECTIONS] : [])].map(async (values) => {
          const params = new URLSearchParams(name === "from" || name === "to" ? "" : RANGE);
          for (const value of values) params.append(name, value);
          await checkHarmless(route, params, isExclusion ? 1 : 0);
        }),
      );
    }
  }
});

test("SQL in the key of a tag is a key that nothing has", async () => {
  for (const text of INJECTIONS) {
    const params = new URLSearchParams(RANGE);
    params.append(`tag.${text}`, text);
    await checkHarmless("/v1/usage", params);
    params.delete(`tag.${text}`);
    params.append(`not_tag.${text}`, text);
    if (!text.includes(",")) params.append("group_by", `tag.${text}`);
    await checkHarmless("/v1/usage", params, 1);
  }
});

test("SQL in the name of a parameter, in a path or in a key is refused", async () => {
  for (const text of INJECTIONS) {
    const encoded = encodeURIComponent(text);
    for (const url of [
      `/v1/usage?${encoded}=1`,
      `/v1/calls?${encoded}=1`,
      `/v1/traces/${encoded}`,
    ]) {
      const { status } = await api.ask(url);
      expect({ url, status }).toEqual({ url, status: 400 });
    }
    const { status } = await api.ask(`/v1/${encoded}`);
    expect([404, 400]).toContain(status);
  }
});

test("SQL sent as many long values of every filter at once is a value too", async () => {
  const value = "🙂'\\".repeat(256);
  const params = new URLSearchParams(RANGE);
  for (let index = 0; index < MAX_FILTER_VALUES; index += 1) params.append("user_id", value);
  for (const route of ["/v1/usage", "/v1/calls"]) {
    const { status, json, text } = await api.ask(`${route}?${params.toString()}`);
    expect([200, 400], text.slice(0, 300)).toContain(status);
    if (status === 200) expect(countRows(json)).toBe(0);
  }
});

test("after all that the tables are as they were", async () => {
  const ask = async (key: string) => {
    const { json } = await api.ask(`/v1/usage?${RANGE}&group_by=user_id`, key);
    return readStrictly(UsageAnswer, json).rows.map((row) => [row.user_id, row.calls]);
  };
  expect(await ask("key-alpha")).toEqual([["ann", 1]]);
  expect(await ask("key-beta")).toEqual([["bob", 1]]);
});
