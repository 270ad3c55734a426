/**
 * The endpoint asked by ClickHouse's own client for Node, and the protocol as clients in other languages
 * speak it: headers, formats, parameters, errors, and the first question of the one for Go.
 */
import { createClient, type ClickHouseClient } from "@clickhouse/client";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ask, type Endpoint, OWN_CALLS, startEndpoint, type Told } from "./fixture.ts";
import { FORMAT_NAMES } from "./formats.ts";

let endpoint: Endpoint;
let client: ClickHouseClient;

beforeAll(async () => {
  endpoint = await startEndpoint();
  client = createClient({
    url: endpoint.url,
    username: "anyone",
    password: endpoint.keys.shop,
    database: "spanledger",
    compression: { response: true, request: false },
  });
});

afterAll(async () => {
  await client.close();
  await endpoint.close();
});

function tell(sql: string, options: Parameters<typeof ask>[2] = {}): Promise<Told> {
  return ask(endpoint.url, sql, { key: endpoint.keys.shop, ...options });
}

describe("@clickhouse/client", () => {
  test("finds the server up, with and without a query", async () => {
    expect((await client.ping()).success).toBe(true);
    expect((await client.ping({ select: true })).success).toBe(true);
  });

  test("reads rows as JSON, and what they are", async () => {
    const result = await client.query({
      query: "SELECT service_name, toString(sum(cost_output_text)) AS cost FROM calls GROUP BY 1",
      format: "JSON",
    });
    expect(await result.json()).toMatchObject({
      meta: [{ name: "service_name" }, { name: "cost", type: "String" }],
      data: [{ service_name: "zqshop-service", cost: "0.000036" }],
      rows: 1,
    });
  });

  test.each([
    ["a text that needs quoting", "String", 'it\'s \\ `a`\n\t"b"', 'it\'s \\ `a`\n\t"b"'],
    ["a number", "UInt32", 42, 42],
    ["a negative number", "Int64", -7, "-7"],
    ["an array of texts", "Array(String)", ["a'b", "c\\"], ["a'b", "c\\"]],
    ["a map", "Map(String, UInt8)", { "k'": 1 }, { "k'": 1 }],
    ["null", "Nullable(String)", null, null],
    ["a time", "DateTime64(3, 'UTC')", new Date(1_795_225_705_123), "2026-11-21 01:48:25.123"],
    ["a truth", "Bool", true, true],
    ["a tuple", "Array(UInt8)", [1, 2], [1, 2]],
  ])("binds %s", async (_name, type, value, expected) => {
    const result = await client.query({
      query: `SELECT {value:${type}} AS value`,
      query_params: { value },
      format: "JSONEachRow",
      clickhouse_settings: { output_format_json_quote_64bit_integers: 1 },
    });
    expect(await result.json()).toEqual([{ value: expected }]);
  });

  test("filters by parameters", async () => {
    const result = await client.query({
      query: "SELECT count() AS n FROM calls WHERE user_id = {user:String} AND ts < {to:DateTime}",
      query_params: { user: "zqshop-user", to: "2030-01-01 00:00:00" },
      format: "JSONEachRow",
    });
    expect(await result.json()).toEqual([{ n: OWN_CALLS }]);
  });

  test("streams 300,000 rows, compressed", async () => {
    const result = await client.query({
      query: "SELECT arrayJoin(range(300000)) AS n, repeat('x', 20) AS text",
      format: "JSONCompactEachRow",
    });
    let rows = 0;
    for await (const part of result.stream()) rows += part.length;
    expect(rows).toBe(300_000);
  });

  test("is told of an error by its number and name", async () => {
    const failed = client.query({ query: "SELECT nothing FROM calls" });
    await expect(failed).rejects.toMatchObject({ code: "47", type: "UNKNOWN_IDENTIFIER" });
    const refused = client.query({ query: "SELECT * FROM file('x')" });
    await expect(refused).rejects.toMatchObject({ code: "497", type: "ACCESS_DENIED" });
    const changed = client.command({ query: "DROP TABLE spans" });
    await expect(changed).rejects.toMatchObject({ code: "164", type: "READONLY" });
    const inserted = client.insert({ table: "spans", values: [{ a: 1 }], format: "JSONEachRow" });
    await expect(inserted).rejects.toMatchObject({
      type: expect.stringMatching(/READONLY|SYNTAX/),
    });
  });

  test("with a wrong key is told so", async () => {
    const stranger = createClient({ url: endpoint.url, password: "wrong" });
    await expect(stranger.query({ query: "SELECT 1" })).rejects.toMatchObject({ code: "516" });
    await stranger.close();
  });
});

describe("the protocol", () => {
  test("says that it is up to anyone, and nothing else", async () => {
    for (const path of ["/", "/ping", "/replicas_status"]) {
      const response = await fetch(`${endpoint.url}${path}`);
      expect([path, response.status, await response.text()]).toEqual([path, 200, "Ok.\n"]);
    }
    for (const path of ["/play", "/dashboard", "/metrics", "/ping/x"]) {
      expect([path, (await fetch(`${endpoint.url}${path}`)).status]).toEqual([path, 404]);
    }
  });

  test("takes a query from the URL, from the body, and from both together", async () => {
    expect((await tell("SELECT 1", { method: "GET" })).text).toBe("1\n");
    expect((await tell("SELECT 2")).text).toBe("2\n");
    expect((await tell("+ 1", { query: { query: "SELECT 2" } })).text).toBe("3\n");
  });

  test("names the format, the query and the time zone in headers", async () => {
    const told = await tell("SELECT timezone()", {
      query: { query_id: "mine", default_format: "CSV" },
    });
    expect(told.text).toBe('"UTC"\n');
    expect(told.headers.get("x-clickhouse-format")).toBe("CSV");
    expect(told.headers.get("x-clickhouse-query-id")).toBe("mine");
    expect(told.headers.get("x-clickhouse-timezone")).toBe("UTC");
    expect(JSON.parse(told.headers.get("x-clickhouse-summary") ?? "")).toMatchObject({
      result_bytes: "6",
    });
  });

  test("takes the format of the statement, then of the header, then of the URL", async () => {
    const query = { default_format: "JSON" };
    const headers = { "x-clickhouse-format": "TSVWithNames" };
    const formatOf = async (sql: string, options: object) =>
      (await tell(sql, options)).headers.get("x-clickhouse-format");
    expect(await formatOf("SELECT 1 FORMAT CSV", { query, headers })).toBe("CSV");
    expect(await formatOf("SELECT 1 format CSV ; -- end", { query, headers })).toBe("CSV");
    expect(await formatOf("SELECT 1", { query, headers })).toBe("TSVWithNames");
    expect(await formatOf("SELECT 1", { query })).toBe("JSON");
    expect(await formatOf("SELECT 1", {})).toBe("TabSeparated");
  });

  test.each(FORMAT_NAMES)("answers in %s", async (format) => {
    const told = await tell(`SELECT user_id FROM spans FORMAT ${format}`);
    expect([told.status, told.headers.get("x-clickhouse-format")]).toEqual([200, format]);
    if (format !== "Null") expect(told.text).toContain("zqshop-user");
  });

  test("compresses by gzip when it is asked to, and no error", async () => {
    const raw = async (sql: string) => {
      const response = await fetch(`${endpoint.url}/?enable_http_compression=1`, {
        method: "POST",
        headers: { authorization: `Bearer ${endpoint.keys.shop}`, "accept-encoding": "gzip" },
        body: sql,
      });
      // fetch has decompressed it already.
      return [response.headers.get("content-encoding"), (await response.text()).length];
    };
    expect(await raw("SELECT repeat('x', 5000)")).toEqual(["gzip", 5_001]);
    expect(await raw("SELECT 1")).toEqual([null, 2]);
  });

  test("shows clients what there is", async () => {
    const lines = async (sql: string) => (await tell(sql)).text.trim().split("\n");
    expect(await lines("SHOW DATABASES")).toEqual(["spanledger", "system"]);
    const tables = await lines("SHOW TABLES");
    expect(tables).toEqual(
      await lines("SELECT name FROM system.tables WHERE database = 'spanledger' ORDER BY name"),
    );
    expect(tables).toContain("calls");
    expect(tables).not.toContain("state_objects");
    expect(await lines("SHOW TABLES FROM system")).toContain("columns");
    expect(await lines("SHOW TABLES FROM spanledger LIKE 'usage%'")).toContain("usage_day");
    expect(await lines("EXISTS TABLE calls")).toEqual(["1"]);
    for (const sql of [
      "DESC calls",
      'DESCRIBE TABLE "spanledger"."calls"',
      "DESC TABLE `calls` FORMAT TSV",
    ]) {
      expect((await lines(sql))[0]).toMatch(/^project_id\tLowCardinality\(String\)/);
    }
    expect(
      await lines("SELECT name FROM system.columns WHERE table = 'calls' AND name = 'ts'"),
    ).toEqual(["ts"]);
  });

  test.each([
    [
      "aggregates with conditions",
      "SELECT countIf(status = 'error'), quantile(0.95)(duration_ns) FROM calls",
    ],
    ["a window", "SELECT sum(count()) OVER (ORDER BY toDate(ts)) FROM calls GROUP BY toDate(ts)"],
    [
      "a CTE and a join",
      "WITH t AS (SELECT service_name, count() AS n FROM calls GROUP BY ALL) SELECT a.n FROM t AS a JOIN t AS b USING service_name",
    ],
    [
      "a series with gaps filled",
      "SELECT toStartOfHour(ts) AS h, count() FROM calls GROUP BY h ORDER BY h WITH FILL STEP toIntervalHour(1)",
    ],
    [
      "maps, arrays and lambdas",
      "SELECT arrayMap(k -> map('key', k, 'value', attributes[k]), mapKeys(attributes)) FROM spans",
    ],
    [
      "casts of all forms",
      "SELECT ts::Date, CAST(kind AS Nullable(String)), '1'::Decimal(9, 2), DATE '2026-01-01', [1]::Array(UInt8) FROM calls",
    ],
    [
      "CASE, BETWEEN, LIKE, IN, INTERVAL",
      "SELECT CASE WHEN kind IN (1, 3) THEN 'a' ELSE 'b' END FROM calls WHERE ts BETWEEN now() - INTERVAL 9999 DAY AND now() + INTERVAL 9 YEAR AND name LIKE 'zq%' AND NOT (name IN ('x'))",
    ],
    [
      "EXTRACT, TRIM, SUBSTRING, POSITION, LEFT",
      "SELECT EXTRACT(YEAR FROM ts), TRIM(BOTH ' ' FROM name), SUBSTRING(name FROM 1 FOR 2), POSITION('q' IN name), LEFT(name, 1) FROM calls",
    ],
    [
      "columns by pattern and without some",
      "SELECT COLUMNS('^tokens_'), * EXCEPT (name) FROM calls",
    ],
    ["REPLACE of a column", "SELECT * REPLACE (lower(name) AS name) FROM calls"],
    [
      "count of distinct values and rollup",
      "SELECT provider, count(DISTINCT user_id), grouping(provider) FROM calls GROUP BY ROLLUP(provider)",
    ],
    ["a format in a function", "SELECT format('{} {}', name, kind) FROM calls"],
    ["a subquery with EXISTS", "SELECT 1 WHERE EXISTS (SELECT 1 FROM calls)"],
    ["FILTER and HAVING", "SELECT count() FILTER (WHERE kind = 3) FROM calls HAVING count() > 0"],
    [
      "INTERSECT and EXCEPT",
      "(SELECT name FROM calls INTERSECT SELECT name FROM spans) EXCEPT SELECT ''",
    ],
    [
      "names of tables that hold names of others",
      "SELECT usage_calls.calls, calls.name FROM usage_calls, calls",
    ],
    [
      "LIMIT BY and OFFSET",
      "SELECT name FROM calls ORDER BY ts DESC LIMIT 1 BY name LIMIT 5 OFFSET 0",
    ],
    [
      "a histogram of latency",
      "SELECT (arraySum(mapValues(m)), mapKeys(m)) FROM (SELECT sumMap(duration_histogram) AS m FROM usage_15m)",
    ],
  ])("answers what dashboards ask: %s", async (_name, sql) => {
    const told = await tell(sql);
    expect([told.status, told.status === 200 ? "" : told.text]).toEqual([200, ""]);
  });

  test("what a client compresses or wraps in a form is refused with advice", async () => {
    expect((await tell("SELECT 1", { headers: { "content-encoding": "gzip" } })).status).toBe(501);
    const headers = { "content-type": "multipart/form-data; boundary=x" };
    expect((await tell("SELECT 1", { headers })).text).toContain("plain text");
    expect((await tell("SELECT 1", { query: { compress: "1" } })).text).toContain("switch it off");
  });
});

describe("the first question of the client for Go", () => {
  const HELLO = "SELECT displayName(), version(), revision(), timezone()";

  test("is answered as the revision that it asks with, and says revision 0", async () => {
    const response = await fetch(
      `${endpoint.url}/?default_format=Native&client_protocol_version=54460&database=spanledger`,
      { method: "POST", headers: { authorization: `Bearer ${endpoint.keys.shop}` }, body: HELLO },
    );
    const bytes = Buffer.from(await response.arrayBuffer());
    const string = (text: string) => Buffer.concat([Buffer.from([text.length]), Buffer.from(text)]);
    const column = (name: string, type: string, value: Buffer) =>
      Buffer.concat([string(name), string(type), Buffer.from([0]), value]);
    const version = (await tell("SELECT version()")).text.trim();
    expect(bytes.toString("hex")).toBe(
      Buffer.concat([
        Buffer.from([1, 0, 2, 255, 255, 255, 255, 0, 4, 1]),
        column("displayName()", "String", string("spanledger")),
        column("version()", "String", string(version)),
        column("revision()", "UInt32", Buffer.alloc(4)),
        column("timezone()", "String", string("UTC")),
      ]).toString("hex"),
    );
  });

  test("is no way to the host's name in another form", async () => {
    expect((await tell(HELLO)).status).toBe(403);
    const query = { client_protocol_version: "54460", default_format: "Native" };
    expect((await tell(`${HELLO}, file('x')`, { query })).status).toBe(403);
  });
});
