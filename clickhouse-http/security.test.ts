/**
 * Attacks on the endpoint, each by name, on a real engine: what may not be read is not read, whatever is
 * tried. Everyone here asks with the key of the project "shop"; the words of the other project, of the
 * small state and of a file beside the data must be in no answer, nor in any error.
 */
import { once } from "node:events";
import { existsSync, readdirSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Recompute } from "../collector/recompute/recompute.ts";
import {
  ask,
  type Endpoint,
  OPERATOR_KEY,
  OWN_CALLS,
  OWN_MARK,
  RIVAL_CALLS,
  RIVAL_DAY,
  RIVAL_MARK,
  RIVAL_PROJECT,
  SECRET_MARK,
  startEndpoint,
  type Told,
} from "./fixture.ts";

let endpoint: Endpoint;

beforeAll(async () => {
  endpoint = await startEndpoint({ query_timeout_s: 3 });
});

afterAll(() => endpoint.close());

/** Asks as the project shop; the attack may name the file and the folder of the data. */
async function attack(sql: string, query: Readonly<Record<string, string>> = {}): Promise<Told> {
  const filled = sql
    .replaceAll("$FILE", endpoint.secret_file)
    .replaceAll("$DIR", endpoint.laboratory.directory);
  const told = await ask(endpoint.url, filled, { key: endpoint.keys.shop, query });
  const sent = `${filled} ${JSON.stringify(query)}`;
  // What was sent may be quoted back to who sent it.
  for (const mark of [RIVAL_PROJECT, SECRET_MARK]) {
    if (!sent.includes(mark)) expect(told.text).not.toContain(mark);
  }
  return told;
}

async function expectRefused(sql: string, query: Readonly<Record<string, string>> = {}) {
  const told = await attack(sql, query);
  expect(`${told.status} ${told.text}`).toMatch(/^[45]\d\d Code: \d+\. DB::Exception: /);
  expect(told.headers.get("x-clickhouse-exception-code")).toMatch(/^\d+$/);
}

type Attacks = readonly (readonly [name: string, sql: string])[];

const FILES: Attacks = [
  ["the function file", "SELECT file('$FILE')"],
  ["in capitals", "SELECT FILE('$FILE')"],
  ["in backquotes", "SELECT `file`('$FILE')"],
  ["in double quotes", `SELECT "file"('$FILE')`],
  ["with a comment inside", "SELECT fi/**/le('$FILE')"],
  ["with a comment behind the name", "SELECT file/* x */('$FILE')"],
  ["with a line break", "SELECT file\n(\n'$FILE')"],
  ["handed to arrayMap by its name", "SELECT arrayMap(file, ['$FILE'])"],
  ["handed over in backquotes", "SELECT arrayMap(`file`, ['$FILE'])"],
  ["handed over in capitals", "SELECT arrayMap(File, ['$FILE'])"],
  ["handed over by an alias", "WITH file AS f SELECT arrayMap(f, ['$FILE'])"],
  ["in a lambda", "SELECT arrayMap(x -> file(x), ['$FILE'])"],
  ["in a lambda with a name", "WITH x -> file(x) AS f SELECT f('$FILE')"],
  ["by APPLY", "SELECT * APPLY(file) FROM (SELECT '$FILE' AS x)"],
  ["by APPLY of a lambda", "SELECT * APPLY(x -> file(x)) FROM (SELECT '$FILE' AS x)"],
  ["by REPLACE", "SELECT * REPLACE(file('$FILE') AS x) FROM (SELECT 1 AS x)"],
  ["in WHERE", "SELECT 1 WHERE file('$FILE') != ''"],
  ["in HAVING", "SELECT count() FROM calls HAVING file('$FILE') != ''"],
  ["in QUALIFY", "SELECT 1 QUALIFY file('$FILE') != ''"],
  ["in ORDER BY", "SELECT 1 ORDER BY file('$FILE')"],
  ["in LIMIT", "SELECT 1 LIMIT length(file('$FILE'))"],
  ["in WITH FILL", "SELECT 1 AS x ORDER BY x WITH FILL FROM 1 TO length(file('$FILE'))"],
  [
    "in INTERPOLATE",
    "SELECT 1 AS x, '' AS y ORDER BY x WITH FILL TO 3 INTERPOLATE (y AS file('$FILE'))",
  ],
  ["in a window", "SELECT count() OVER (PARTITION BY file('$FILE'))"],
  ["in a named window", "SELECT count() OVER w WINDOW w AS (ORDER BY file('$FILE'))"],
  ["as a parameter of an aggregate", "SELECT groupConcat(file('$FILE'))(user_id) FROM calls"],
  ["in ARRAY JOIN", "SELECT x FROM calls ARRAY JOIN [file('$FILE')] AS x"],
  ["in ON of a JOIN", "SELECT 1 FROM calls AS a JOIN calls AS b ON a.user_id = file('$FILE')"],
  ["in a scalar subquery", "SELECT (SELECT file('$FILE'))"],
  ["in a CTE", "WITH t AS (SELECT file('$FILE') AS x) SELECT * FROM t"],
  ["in UNION", "SELECT '' UNION ALL SELECT file('$FILE')"],
  ["in EXCEPT", "SELECT file('$FILE') EXCEPT SELECT ''"],
  ["in IN", "SELECT 1 WHERE 'x' IN (file('$FILE'))"],
  ["in CASE", "SELECT CASE WHEN 1 THEN file('$FILE') END"],
  ["in a cast", "SELECT file('$FILE')::String"],
  ["in GROUPING SETS", "SELECT 1 GROUP BY GROUPING SETS ((file('$FILE')))"],
  ["the table function file", "SELECT * FROM file('$FILE')"],
  ["the table function in a JOIN", "SELECT * FROM calls, file('$FILE', CSV, 'a String, b Int8')"],
  ["the table function in IN", "SELECT 'x' IN (SELECT * FROM file('$FILE', LineAsString))"],
  ["the table function in a subquery", "SELECT * FROM (SELECT * FROM file('$FILE', CSV))"],
  ["the table function with FORMAT", "SELECT * FROM file('$FILE') FORMAT JSON"],
  ["a path as a table", "SELECT * FROM `$FILE`"],
  ["a path as a table of the default database", "SELECT * FROM default.`$FILE`"],
  ["DESCRIBE of the table function", "DESCRIBE TABLE file('$FILE')"],
  ["DESCRIBE of a subquery", "DESCRIBE (SELECT file('$FILE'))"],
  ["fileCluster", "SELECT * FROM fileCluster('default', '$FILE')"],
  ["sqlite", "SELECT * FROM sqlite('$FILE', 'x')"],
  ["filesystem", "SELECT * FROM filesystem('$DIR')"],
  ["icebergLocal", "SELECT * FROM icebergLocal('$DIR')"],
  ["executable", "SELECT * FROM executable('cat $FILE', CSV, 'a String')"],
  ["a certificate", "SELECT showCertificate()"],
  ["catboost", "SELECT catboostEvaluate('$FILE', 1)"],
  ["a schema file", "SELECT 1 FORMAT Protobuf"],
  ["INSERT from a file", "INSERT INTO spans FROM INFILE '$FILE' FORMAT CSV"],
];

describe("no file is read by", () => {
  test.each(FILES)("%s", async (_name, sql) => {
    await expectRefused(sql);
  });
});

const NETWORK: Attacks = [
  ["url", "SELECT * FROM url('http://127.0.0.1:1/x', CSV)"],
  ["urlCluster", "SELECT * FROM urlCluster('default', 'http://127.0.0.1:1/x', CSV)"],
  ["remote", "SELECT * FROM remote('127.0.0.1', 'spanledger', 'state_objects')"],
  ["remote without a table", "SELECT * FROM remote('127.0.0.1')"],
  ["remoteSecure", "SELECT * FROM remoteSecure('127.0.0.1', system.one)"],
  ["cluster", "SELECT * FROM cluster('default', spanledger.spans)"],
  ["clusterAllReplicas", "SELECT * FROM clusterAllReplicas('default', spanledger.spans)"],
  ["s3", "SELECT * FROM s3('http://127.0.0.1:1/bucket/x')"],
  ["hdfs", "SELECT * FROM hdfs('hdfs://127.0.0.1:1/x', CSV)"],
  ["mysql", "SELECT * FROM mysql('127.0.0.1:1', 'a', 'b', 'c', 'd')"],
  ["postgresql", "SELECT * FROM postgresql('127.0.0.1:1', 'a', 'b', 'c', 'd')"],
  ["mongodb", "SELECT * FROM mongodb('127.0.0.1:1', 'a', 'b', 'c', 'd', 'e String')"],
  ["redis", "SELECT * FROM redis('127.0.0.1:1', 'a', 'a String')"],
  ["odbc", "SELECT * FROM odbc('x', 'y', 'z')"],
  ["azure", "SELECT * FROM azureBlobStorage('http://127.0.0.1:1/x', 'a', 'b')"],
  ["a model of another firm", "SELECT aiGenerate('x', 'say hello')"],
  ["a model by its other name", "SELECT AIGenerate('x', 'say hello')"],
  ["BACKUP", "BACKUP TABLE spans TO S3('http://127.0.0.1:1/x')"],
  ["the host's name", "SELECT hostName()"],
  ["the host's name by an alias", "SELECT arrayMap(x -> fullHostName(), [1])"],
];

describe("nothing is asked of the network or the host by", () => {
  test.each(NETWORK)("%s", async (_name, sql) => {
    await expectRefused(sql);
  });
});

const TABLES: Attacks = [
  ["its name", "SELECT * FROM state_objects"],
  ["its whole name", "SELECT * FROM spanledger.state_objects"],
  ["quotes", 'SELECT * FROM "spanledger"."state_objects"'],
  ["an alias", "SELECT s.body FROM state_objects AS s"],
  ["FINAL", "SELECT * FROM state_objects FINAL"],
  ["a subquery", "SELECT (SELECT any(body) FROM state_objects)"],
  [
    "a CTE of the same name elsewhere",
    "WITH state_objects AS (SELECT 1) SELECT * FROM state_objects",
  ],
  [
    "a CTE whose scope has ended",
    "SELECT * FROM (WITH state_objects AS (SELECT 1) SELECT 1), (SELECT body FROM state_objects)",
  ],
  ["UNION", "SELECT '' UNION ALL SELECT body FROM state_objects"],
  ["INTERSECT", "SELECT body FROM state_objects INTERSECT SELECT body FROM state_objects"],
  ["JOIN", "SELECT body FROM calls RIGHT JOIN state_objects ON 1 = 1"],
  ["a comma", "SELECT body FROM calls, state_objects"],
  ["IN", "SELECT 'x' IN state_objects"],
  ["IN with its whole name", "SELECT 'x' IN spanledger.state_objects"],
  ["the function in", "SELECT in('x', state_objects)"],
  ["merge", "SELECT * FROM merge('spanledger', '.*')"],
  ["merge of one table", "SELECT body FROM merge('^state_objects$')"],
  ["MERGE", "SELECT * FROM MERGE(currentDatabase(), 'state')"],
  ["mergeTreeIndex", "SELECT * FROM mergeTreeIndex('spanledger', 'spans')"],
  ["mergeTreeProjection", "SELECT * FROM mergeTreeProjection('spanledger', 'spans', 'p')"],
  ["view", "SELECT * FROM view(SELECT * FROM state_objects)"],
  ["viewIfPermitted", "SELECT * FROM viewIfPermitted(SELECT * FROM spans ELSE null('x String'))"],
  ["viewExplain", "SELECT * FROM viewExplain('EXPLAIN AST', '', (SELECT * FROM state_objects))"],
  ["EXPLAIN in FROM", "SELECT * FROM (EXPLAIN SELECT * FROM state_objects)"],
  ["loop", "SELECT * FROM loop('spanledger', 'spans') LIMIT 10"],
  ["dictionary", "SELECT * FROM dictionary('spanledger.state_objects')"],
  ["dictGet", "SELECT dictGet('spanledger.state_objects', 'body', 'c1')"],
  ["joinGet", "SELECT joinGet('spanledger.state_objects', 'body', 'c1')"],
  ["hasColumnInTable", "SELECT hasColumnInTable('spanledger', 'state_objects', 'body')"],
  ["eval", "SELECT * FROM eval('SELECT * FROM state_objects')"],
  ["DESCRIBE", "DESCRIBE TABLE state_objects"],
  ["DESC", "DESC spanledger.state_objects"],
  ["SHOW CREATE", "SHOW CREATE TABLE state_objects"],
  ["EXISTS", "EXISTS TABLE state_objects"],
  ["EXISTS as a function", "SELECT EXISTS(SELECT 1 FROM state_objects)"],
  ["EXPLAIN", "EXPLAIN SELECT * FROM state_objects"],
  ["EXPLAIN ESTIMATE", "EXPLAIN ESTIMATE SELECT * FROM spans"],
  ["the audit log", "SELECT * FROM audit_log"],
  ["a rollup beneath a view", "SELECT * FROM usage_day_rollup"],
  ["marks of what changed", "SELECT * FROM rollup_dirty"],
  ["a view on the marks", "SELECT * FROM rollup_dirty_pairs"],
  ["a parameter as its name", "SELECT * FROM {t:Identifier}"],
  ["the processes", "SELECT query FROM system.processes"],
  ["the processes in quotes", "SELECT query FROM `system`.`processes`"],
  ["the processes by IN", "SELECT 1 IN system.processes"],
  ["the query log", "SELECT * FROM system.query_log"],
  ["the parts", "SELECT rows FROM system.parts"],
  ["the columns of parts", "SELECT * FROM system.parts_columns"],
  ["the settings of the server", "SELECT * FROM system.server_settings"],
  ["the users", "SELECT * FROM system.users"],
  ["stack traces", "SELECT * FROM system.stack_trace"],
  ["zeros", "SELECT * FROM system.zeros LIMIT 1"],
  ["the information schema", "SELECT * FROM information_schema.tables"],
  ["the information schema in capitals", "SELECT * FROM INFORMATION_SCHEMA.COLUMNS"],
  ["TABLE", "TABLE state_objects"],
  ["FROM first", "FROM state_objects SELECT *"],
  ["how many rows all have", "SELECT total_rows FROM system.tables WHERE name = 'spans'"],
  ["how many by an asterisk", "SELECT * FROM system.tables"],
  ["how many by a matcher", "SELECT COLUMNS('total') FROM system.tables"],
  ["how many by a list", "SELECT COLUMNS(total_rows) FROM system.tables"],
  ["how many by an alias", "SELECT t.total_rows AS x FROM system.tables AS t"],
  ["how many by the whole name", "SELECT system.tables.total_rows FROM system.tables"],
  [
    "how many by USING",
    "SELECT 1 FROM system.tables JOIN (SELECT 8 AS total_rows) AS a USING (total_rows)",
  ],
  [
    "how many by a lambda with the name of a function",
    "WITH x -> x AS count SELECT count(COLUMNS('^total_rows$')) FROM system.tables WHERE name = 'spans'",
  ],
  [
    "how many by NATURAL JOIN",
    "SELECT b.x FROM system.tables AS a NATURAL JOIN (SELECT toNullable(toUInt64(8)) AS total_rows, 8 AS x) AS b",
  ],
  ["how many bytes of a column", "SELECT data_compressed_bytes FROM system.columns"],
  ["how many by IN", "SELECT (1, 2) IN system.tables"],
  ["where rows lie among others", "SELECT max(_part_offset) FROM spans"],
  ["the same by its table", "SELECT spans._block_offset FROM spans"],
  ["the parts of a table", "SELECT _part, count() FROM spans GROUP BY _part"],
  ["where the data are", "SELECT data_path FROM system.databases"],
];

describe("nothing hidden is read by", () => {
  test.each(TABLES)("%s", async (_name, sql) => {
    await expectRefused(sql);
  });
});

const CHANGES: Attacks = [
  ["INTO OUTFILE", "SELECT * FROM calls INTO OUTFILE '$DIR/stolen' FORMAT CSV"],
  ["INTO OUTFILE with TRUNCATE", "SELECT 1 INTO OUTFILE '$DIR/stolen' TRUNCATE"],
  ["INTO OUTFILE in a subquery", "SELECT * FROM (SELECT 1 INTO OUTFILE '$DIR/stolen')"],
  ["INTO OUTFILE in capitals and comments", "select 1 /**/ InTo /**/ OuTfIlE '$DIR/stolen'"],
  ["two statements", "SELECT 1; SELECT 2"],
  ["a second statement that drops", "SELECT 1; DROP TABLE spans"],
  ["a second statement behind a comment", "SELECT 1 /* ; */ ; DROP TABLE spans --"],
  ["a second statement behind FORMAT", "SELECT 1 FORMAT CSV; DROP TABLE spans"],
  ["a second statement behind a quote", "SELECT 'a'';\\'' ; DROP TABLE spans"],
  ["a SETTINGS clause and a second statement", "SELECT 1 SETTINGS readonly=1; DROP TABLE spans"],
  ["DROP", "DROP TABLE spans"],
  ["TRUNCATE", "TRUNCATE TABLE spans"],
  ["ALTER", "ALTER TABLE spans DELETE WHERE 1"],
  ["DELETE", "DELETE FROM spans WHERE 1"],
  ["UPDATE", "UPDATE spans SET name = '' WHERE 1"],
  ["INSERT", "INSERT INTO spans SELECT * FROM spans"],
  ["INSERT of values", "INSERT INTO state_objects (kind) VALUES ('key')"],
  ["INSERT into a function", "INSERT INTO FUNCTION file('$DIR/stolen', CSV) SELECT 1"],
  ["CREATE", "CREATE TABLE stolen ENGINE = Memory AS SELECT 1"],
  ["CREATE TEMPORARY", "CREATE TEMPORARY TABLE stolen (x Int8)"],
  ["CREATE VIEW", "CREATE VIEW stolen AS SELECT * FROM spans"],
  ["CREATE FUNCTION", "CREATE FUNCTION stolen AS x -> file(x)"],
  ["ATTACH", "ATTACH TABLE stolen FROM '$DIR' (x Int8) ENGINE = Log"],
  ["RENAME", "RENAME TABLE spans TO stolen"],
  ["OPTIMIZE", "OPTIMIZE TABLE spans FINAL"],
  ["SYSTEM", "SYSTEM SHUTDOWN"],
  ["SYSTEM STOP MERGES", "SYSTEM STOP MERGES"],
  ["KILL QUERY", "KILL QUERY WHERE 1"],
  ["KILL MUTATION", "KILL MUTATION WHERE 1"],
  ["USE", "USE system"],
  ["GRANT", "GRANT ALL ON *.* TO default"],
  ["CREATE USER", "CREATE USER stolen"],
  ["SET ROLE", "SET ROLE ALL"],
  ["BEGIN", "BEGIN TRANSACTION"],
  ["EXECUTE AS", "EXECUTE AS default SELECT 1"],
];

describe("nothing is changed by", () => {
  test.each(CHANGES)("%s", async (_name, sql) => {
    await expectRefused(sql);
    expect(existsSync(join(endpoint.laboratory.directory, "stolen"))).toBe(false);
  });

  test("all of them: no file was written, and every span is there", async () => {
    expect(readdirSync(endpoint.laboratory.directory).toSorted()).toEqual([
      "clickhouse",
      "secret.csv",
      "spool",
    ]);
    const [row] = await endpoint.laboratory.engine.query<{ n: string }>(
      "SELECT toString(count()) AS n FROM spans FINAL",
    );
    expect(row?.n).toBe(String(OWN_CALLS + RIVAL_CALLS));
  });
});

const SETTINGS: Attacks = [
  ["SET", "SET readonly = 0"],
  ["SET of the filters", "SET additional_table_filters = {}"],
  ["SETTINGS", "SELECT * FROM calls SETTINGS additional_table_filters = {}"],
  [
    "SETTINGS of one filter",
    "SELECT * FROM spans SETTINGS additional_table_filters = {'spanledger.spans': '1'}",
  ],
  [
    "SETTINGS in a subquery",
    "SELECT * FROM (SELECT * FROM spans SETTINGS additional_table_filters = {})",
  ],
  [
    "SETTINGS behind FORMAT",
    "SELECT * FROM spans FORMAT JSON SETTINGS additional_table_filters = {}",
  ],
  ["SETTINGS in capitals and comments", "SELECT 1 sEtTiNgS/**/readonly/**/=/**/0"],
  ["SETTINGS that is harmless", "SELECT 1 SETTINGS max_threads = 1"],
  ["getSetting", "SELECT getSetting('additional_table_filters')"],
  ["a variable", "SELECT @@version"],
  ["SHOW SETTINGS", "SHOW SETTINGS LIKE '%'"],
];

describe("no setting is changed or shown by", () => {
  test.each(SETTINGS)("%s", async (_name, sql) => {
    await expectRefused(sql);
  });

  test.each([
    ["additional_table_filters", "{}"],
    ["additional_result_filter", "1"],
    ["readonly", "0"],
    ["allow_introspection_functions", "1"],
    ["max_threads", "64"],
    ["optimize_move_to_prewhere", "1"],
    ["query_plan_merge_filters", "1"],
    ["format_schema", "x"],
    ["implicit_select", "1"],
    ["dialect", "kusto"],
    ["offset", "1"],
    ["role", "admin"],
    ["stacktrace", "1"],
    ["output_format_json_quote_decimals", "1; SET readonly = 0"],
    ["session_timezone", "'; SET readonly = 0; --"],
    ["database", "system"],
    ["max_execution_time", "-1"],
    ["compress", "1"],
  ])("%s in the URL", async (name, value) => {
    await expectRefused("SELECT 1", { [name]: value });
  });

  test("the list of settings, which leaves out the filters and what was bound", async () => {
    const told = await attack(
      "SELECT count(), countIf(name IN ('additional_table_filters', 'param_x')) FROM system.settings",
      { param_x: "secret" },
    );
    expect(told.text).toMatch(/^\d{4}\t0\n$/);
  });

  test("limits that ask for more than ours", async () => {
    const query = { max_execution_time: "9999", max_result_rows: "0", max_memory_usage: "1e99" };
    expect((await attack("SELECT 1", { ...query, max_memory_usage: "0" })).text).toBe("1\n");
    await expectRefused("SELECT arrayJoin(range(2000000)) FROM calls", { max_result_rows: "0" });
    await expectRefused("SELECT repeat('x', 1000000) FROM (SELECT arrayJoin(range(200)))");
  });

  test("a limit of rows, which must not cut what is checked", async () => {
    const query = { limit: "1", max_result_rows: "1" };
    await expectRefused("SELECT 1, (SELECT body FROM state_objects)", query);
    await expectRefused("SELECT count() FROM merge('spanledger', 'state')", query);
    expect((await attack("SELECT arrayJoin([7, 8])", { limit: "1" })).text).toBe("7\n");
  });
});

/** Values that stand for those of the rival; whoever learns which is right learns its data. */
const ORACLES: readonly (readonly [name: string, sql: string])[] = [
  ["WHERE", "SELECT count() FROM spans WHERE C(user_id)"],
  ["WHERE with OR", "SELECT count() FROM spans WHERE C(user_id) OR kind > 0"],
  ["WHERE with a cheap condition", "SELECT count() FROM spans WHERE kind > 0 AND C(user_id)"],
  ["a projection", "SELECT max(C(user_id)) FROM spans"],
  ["GROUP BY", "SELECT count() FROM spans GROUP BY C(user_id) LIMIT 1"],
  ["ORDER BY", "SELECT count() FROM (SELECT 1 FROM spans ORDER BY C(user_id) LIMIT 1)"],
  ["LIMIT BY", "SELECT count() FROM (SELECT 1 FROM spans LIMIT 1 BY C(user_id))"],
  ["FINAL", "SELECT count() FROM spans FINAL WHERE C(user_id)"],
  ["a view", "SELECT count() FROM calls WHERE C(user_id)"],
  ["a view with usage", "SELECT count() FROM usage_day WHERE C(service_name)"],
  [
    "JOIN ON",
    "SELECT count() FROM spans AS a JOIN spans AS b ON a.ts = b.ts AND C(a.user_id) AND C(b.user_id)",
  ],
  [
    "WHERE over a JOIN",
    "SELECT count() FROM spans AS a JOIN calls AS b ON a.ts = b.ts WHERE C(a.user_id) AND C(b.user_id)",
  ],
  [
    "LEFT JOIN USING",
    "SELECT count() FROM (SELECT ts FROM calls) AS a LEFT JOIN spans AS b USING ts WHERE C(b.user_id)",
  ],
  [
    "IN with a subquery",
    "SELECT count() FROM spans WHERE ts IN (SELECT ts FROM spans WHERE C(user_id))",
  ],
  ["a scalar subquery", "SELECT (SELECT count() FROM spans WHERE C(user_id))"],
  ["a CTE", "WITH t AS (SELECT * FROM spans WHERE C(user_id)) SELECT count() FROM t, t AS u"],
  ["an inner column", "SELECT count() FROM (SELECT C(user_id) AS c FROM spans) WHERE c"],
  [
    "a window",
    "SELECT sum(x) FROM (SELECT count() OVER (PARTITION BY C(user_id)) AS x FROM spans)",
  ],
  ["ARRAY JOIN", "SELECT count() FROM spans ARRAY JOIN [C(user_id)] AS x"],
  ["HAVING", "SELECT count() FROM spans HAVING max(C(user_id)) < 9"],
  ["INTERSECT", "SELECT C(user_id) FROM spans INTERSECT SELECT 1"],
];

describe("an error that only a hidden row would give is not given by", () => {
  /** Fails on values that begin with the word: `zqr` is no number, `0` is one. */
  const failsOn = (word: string) => (sql: string) =>
    sql.replaceAll(
      /C\(([\w.]+)\)/g,
      `toUInt8(if(startsWith($1, '${word}'), substring($1, 1, 3), '1'))`,
    );

  test.each(ORACLES)("%s", async (_name, sql) => {
    const own = await attack(failsOn(OWN_MARK)(sql));
    expect(own.text, "the trap works").toContain("Cannot parse string");
    const { status, text } = await attack(failsOn(RIVAL_MARK)(sql));
    expect(`${status} ${text}`).toMatch(/^200 /);
  });

  /**
   * Tables with a column that has a dictionary (LowCardinality), which functions are evaluated on whole:
   * `D(column)` fails when the dictionary has a value with the word.
   */
  test.each([
    ["a table", "SELECT max(D(service_name)) FROM spans"],
    ["its whole name", "SELECT max(D(spans.service_name)) FROM spanledger.spans"],
    [
      "its whole name in quotes",
      'SELECT max(D(service_name)) FROM "spanledger"."spans" AS x FINAL',
    ],
    ["a condition", "SELECT count() FROM spans FINAL WHERE D(service_name) != ''"],
    ["a row of its own", "SELECT D(service_name) FROM spans WHERE startsWith(user_id, 'zqshop')"],
    ["a view", "SELECT max(D(service_name)) FROM calls"],
    ["a view of the ledger", "SELECT D(service_name) FROM spanledger.ledger_spans"],
    ["usage", "SELECT max(D(service_name)) FROM usage_day"],
    ["a JOIN", "SELECT max(D(b.service_name)) FROM calls AS a, spanledger.spans AS b"],
    ["IN", "SELECT 'x' IN (SELECT D(service_name) FROM spans)"],
    [
      "a CTE with its name",
      "WITH spans AS (SELECT * FROM spanledger.spans) SELECT D(service_name) FROM spans",
    ],
    ["keys of a map", "SELECT arrayMap(k -> D(k), mapKeys(attributes)) FROM spans"],
    ["keys of a map as a column", "SELECT arrayMap(k -> D(k), attributes.keys) FROM calls"],
  ])("the dictionary of a column: %s", async (_name, sql) => {
    const failsIn = (word: string) =>
      sql.replaceAll(
        /D\(([\w.]+)\)/g,
        `toFixedString(replaceOne($1, '${word}', repeat('x', 100)), 60)`,
      );
    expect((await attack(failsIn(OWN_MARK))).text, "the trap works").toContain("String too long");
    const { status, text } = await attack(failsIn(RIVAL_MARK));
    expect(`${status} ${text}`).toMatch(/^200 /);
  });

  test.each(["intDiv", "modulo"])("the bounds of parts in the index: %s", async (name) => {
    const divide = (day: string) =>
      attack(`SELECT count() FROM spans WHERE ${name}(9, toDate(ts) - toDate('${day}')) > -10`);
    expect((await divide("2026-11-21")).text, "the trap works").toContain("Division by zero");
    expect(await divide(RIVAL_DAY)).toMatchObject({ status: 200, text: `${OWN_CALLS}\n` });
  });

  test("PREWHERE, which would run before our own filter, is refused", async () => {
    await expectRefused("SELECT count() FROM spans PREWHERE toUInt8(user_id)");
    await expectRefused("SELECT count() FROM (SELECT * FROM spans preWHERE 1)");
  });
});

const OWN: Attacks = [
  ["calls", "SELECT count() FROM calls"],
  ["spans", "SELECT count() FROM spans FINAL"],
  ["spans by the whole name", "SELECT count(*) FROM spanledger.spans"],
  ["an alias", "SELECT count() FROM spans AS x"],
  ["an alias that is another table", "SELECT count() FROM spans AS calls"],
  ["an alias that is the column of the filter", "SELECT count() FROM spans AS project_id"],
  ["a constant with the name of the column", "WITH 'shop' AS project_id SELECT count() FROM spans"],
  ["a lambda with its name", "WITH (x -> 'shop') AS project_id SELECT count() FROM spans"],
  [
    "a condition that names it anew",
    "SELECT count() FROM spans WHERE ('shop' AS project_id) != ''",
  ],
  ["REPLACE of it", "SELECT count() FROM (SELECT * REPLACE ('shop' AS project_id) FROM spans)"],
  ["an array of its name", "SELECT count() FROM spans ARRAY JOIN ['shop'] AS project_id"],
  [
    "a condition that asks for the other",
    `SELECT count() + ${OWN_CALLS} FROM spans WHERE project_id = 'rival'`,
  ],
  ["a condition that is always true", "SELECT count() FROM spans WHERE 1 OR project_id = 'rival'"],
  [
    "a CTE with the name of a table",
    "WITH calls AS (SELECT * FROM spanledger.spans) SELECT count() FROM calls",
  ],
  ["a join with all", "SELECT uniqExact(a.span_id) FROM spans AS a JOIN spans AS b ON 1 = 1"],
  ["a right join", "SELECT count() FROM (SELECT 1 AS x WHERE 0) AS a RIGHT JOIN spans AS b ON 1"],
  [
    "an anti join",
    "SELECT count() FROM spans AS a ANTI LEFT JOIN (SELECT '' AS user_id) AS b USING user_id",
  ],
  ["IN a table", `SELECT count() FROM spans WHERE project_id IN (SELECT project_id FROM calls)`],
  ["min and max of a key", "SELECT toUInt8(1 + uniqExact(ts)) - 1 FROM spans"],
  [
    "min and max of a time",
    "SELECT 1 + toUnixTimestamp64Nano(max(ts)) - toUnixTimestamp64Nano(min(ts)) FROM spans",
  ],
  [
    "a correlated subquery",
    "SELECT count() FROM spans AS a WHERE (SELECT count() FROM spans AS b WHERE b.kind = a.kind) = 3",
  ],
  [
    "EXISTS with a correlated subquery",
    "SELECT count() FROM spans AS a WHERE EXISTS (SELECT 1 FROM spans AS b WHERE b.span_id = a.span_id)",
  ],
  ["GLOBAL IN", "SELECT count() FROM spans WHERE user_id GLOBAL IN (SELECT user_id FROM spans)"],
  ["GLOBAL JOIN", "SELECT uniqExact(b.span_id) FROM spans AS a GLOBAL JOIN spans AS b ON 1 = 1"],
  ["PASTE JOIN", "SELECT count() FROM spans AS a PASTE JOIN spans AS b"],
  [
    "ASOF JOIN",
    "SELECT count() FROM spans AS a ASOF JOIN spans AS b ON a.kind = b.kind AND a.ts <= b.ts",
  ],
  [
    "a full join",
    "SELECT count() FROM spans AS a FULL JOIN spans AS b USING (project_id, span_id)",
  ],
  [
    "a cross join of views",
    "SELECT uniqExact(a.span_id, b.span_id) / 3 FROM calls AS a, calls AS b",
  ],
  ["WITH TOTALS", "SELECT max(n) FROM (SELECT count() AS n FROM spans GROUP BY kind WITH TOTALS)"],
  ["CUBE", "SELECT max(n) FROM (SELECT count() AS n FROM spans GROUP BY CUBE(project_id, kind))"],
  ["ORDER BY and LIMIT", "SELECT count() FROM (SELECT * FROM spans ORDER BY ts DESC LIMIT 100)"],
  [
    "LIMIT WITH TIES",
    "SELECT count() FROM (SELECT kind FROM spans ORDER BY kind LIMIT 1 WITH TIES)",
  ],
  ["DISTINCT", "SELECT count() FROM (SELECT DISTINCT span_id FROM spans)"],
  [
    "a key that is negated",
    "SELECT count() FROM spans WHERE NOT (project_id = 'shopping') OR project_id > ''",
  ],
  ["the usage", "SELECT sum(calls) FROM usage_day"],
  ["the usage by quarter of an hour", "SELECT sum(calls) FROM usage_15m"],
  ["the usage of users", "SELECT sum(calls) FROM usage_user_day"],
  ["the ledger", "SELECT count() FROM ledger_spans"],
  ["the calls with usage", "SELECT sum(usage_calls.calls) FROM usage_calls"],
  ["an array of all", "SELECT length(groupArray(tuple(*))) FROM spans"],
  ["untuple", "SELECT count() FROM (SELECT untuple((user_id, name)) FROM spans)"],
  ["a union", "SELECT count() FROM (SELECT 1 FROM spans UNION ALL SELECT 1 FROM spans WHERE 0)"],
  ["a window", "SELECT max(n) FROM (SELECT count() OVER () AS n FROM spans)"],
];

describe("a project counts its own calls alone by", () => {
  test.each(OWN)("%s", async (_name, sql) => {
    const { status, text } = await attack(sql);
    expect([status, text]).toEqual([200, `${OWN_CALLS}\n`]);
  });

  test("every table that can be named, in full, in every format of text", async () => {
    for (const table of [
      "spans",
      "ledger_spans",
      "calls",
      "usage_calls",
      "usage_15m",
      "usage_day",
      "usage_user_day",
    ]) {
      const told = await attack(`SELECT * FROM ${table} FORMAT JSONEachRow`);
      expect([table, told.status]).toEqual([table, 200]);
      expect(told.text).toContain(table === "usage_15m" ? '"shop"' : OWN_MARK);
    }
    for (const table of [
      "call_decisions",
      "usage_metrics",
      "alert_notices",
      "otel_spans",
      "otel_spans_trace_id_ts",
    ]) {
      expect([table, (await attack(`SELECT * FROM ${table}`)).status]).toEqual([table, 200]);
    }
  });

  test("what views read beneath is seen by project: they give what the engine gives, dirty and clean", async () => {
    const { engine } = endpoint.laboratory;
    const compare = async () => {
      for (const table of [
        "ledger_spans",
        "calls",
        "usage_calls",
        "usage_15m",
        "usage_day",
        "usage_user_day",
      ]) {
        const rows = "toJSONString(tuple(*)) AS row";
        const wanted = await engine.query<{ row: string }>(
          `SELECT ${rows} FROM ${table} WHERE project_id = 'shop' ORDER BY row`,
        );
        const told = await attack(`SELECT ${rows} FROM ${table} ORDER BY row FORMAT JSONEachRow`, {
          output_format_json_quote_64bit_integers: "1",
          output_format_json_quote_decimals: "1",
        });
        const lines = told.text
          .trim()
          .split("\n")
          .map((line) => JSON.parse(line) as unknown);
        expect([table, lines]).toEqual([table, wanted]);
        expect(wanted.length).toBeGreaterThan(0);
      }
    };
    await compare();
    const recompute = new Recompute(engine, {
      interval_ms: 5,
      max_buckets: 50,
      day_interval_ms: 1,
      now_ms: Date.now,
      observe: () => {},
    });
    await recompute.drain();
    await compare();
  });

  test("budgets and prices, whose tables hold more, are its own and those of everyone", async () => {
    const told = async (sql: string, key = endpoint.keys.shop) =>
      (await ask(endpoint.url, sql, { key })).text.trim().split("\n");
    const budgets = "SELECT name FROM budgets ORDER BY name";
    expect(await told(budgets)).toEqual([OWN_MARK]);
    expect(await told(budgets, OPERATOR_KEY)).toEqual([RIVAL_MARK, OWN_MARK]);
    const prices = "SELECT price_id FROM unit_prices FINAL ORDER BY price_id";
    expect(await told(prices)).toEqual(["a/negotiated/shop", "b/initial"]);
    expect(await told(prices, OPERATOR_KEY)).toHaveLength(3);
    // Where a condition of theirs could come before ours, an error would tell of the other kinds.
    for (const key of [endpoint.keys.shop, OPERATOR_KEY]) {
      const trap = await ask(endpoint.url, "SELECT count() FROM budgets WHERE toUInt8(name) = 1", {
        key,
      });
      expect(trap.text).not.toContain(SECRET_MARK);
    }
  });

  test("other keys: each what it may read, the operator all", async () => {
    const count = async (key: string) =>
      (
        await ask(endpoint.url, "SELECT project_id, count() FROM calls GROUP BY 1 ORDER BY 1", {
          key,
        })
      ).text;
    expect(await count(endpoint.keys.acme)).toBe(`shop\t${OWN_CALLS}\n`);
    expect(await count(endpoint.keys.rival)).toBe(`rival\t${RIVAL_CALLS}\n`);
    expect(await count(OPERATOR_KEY)).toBe(`rival\t${RIVAL_CALLS}\nshop\t${OWN_CALLS}\n`);
  });
});

const FORMS: Attacks = [
  ["NUL in the statement", "SELECT 1 \0; DROP TABLE spans"],
  ["a name with a backslash", "SELECT 1 AS `a\\nFunction file`"],
  ["a name with a line break", "SELECT 1 AS `a\n   TableIdentifier x`"],
  ["a name with NUL", "SELECT 1 AS `a\\0b`"],
  [
    "a state of an aggregate from bytes",
    "SELECT CAST(unhex('00'), 'AggregateFunction(uniq, String)')",
  ],
  [
    "the same with a computed type",
    "SELECT CAST(unhex('00'), concat('Aggregate', 'Function(uniq, String)'))",
  ],
  ["the same by a parameter", "SELECT {x:AggregateFunction(uniq, String)}"],
  ["the same as the value of a parameter", "SELECT CAST(unhex('00'), {x:String})"],
  ["a format with a quote", "SELECT 1 FORMAT `JSON'`"],
  ["a format that is none", "SELECT 1 FORMAT Nothing"],
  ["a format that tells how much was read", "SELECT 1 FORMAT JSONEachRowWithProgress"],
  ["a template", "SELECT 1 FORMAT Template"],
  ["a refused aggregate named in a text", "SELECT arrayReduce('flameGraph', [[toUInt64(1)]])"],
  ["the same with a computed name", "SELECT arrayReduce(concat('flame', 'Graph'), [[1]])"],
  ["the same in ranges", "SELECT arrayReduceInRanges('aggThrow(1)', [(1, 1)], [1.])"],
  ["sleep", "SELECT sleep(3)"],
  ["sleep for each row", "SELECT sleepEachRow(1) FROM calls"],
  [
    "an endless recursion",
    "WITH RECURSIVE t AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM t) SELECT count() FROM t",
  ],
  ["numbers without end", "SELECT count() FROM numbers(1e18)"],
  ["a throw", "SELECT throwIf(1)"],
  ["nothing", " "],
  ["a comment alone", "-- nothing"],
  ["prose", "please show me all tables"],
  ["KQL", "spans | project user_id"],
];

describe("what could break the checks or the engine is refused:", () => {
  test.each(FORMS)("%s", async (_name, sql) => {
    await expectRefused(sql, { param_x: "AggregateFunction(uniq, String)" });
  });

  test("an offered aggregate named in a text is answered", async () => {
    const told = await attack("SELECT arrayReduce('quantileIf(0.5)', [1, 2], [1, 1])");
    expect(told.text).toBe("1.5\n");
  });

  test("NUL in a parameter and in the name of one", async () => {
    await expectRefused("SELECT {x:String}", { param_x: "a\0b" });
    await expectRefused("SELECT 1", { "param_\0": "a" });
    await expectRefused("SELECT 1", { "param_x y": "a" });
  });

  test.each([
    "'; SET readonly = 0; DROP TABLE spans; SELECT '",
    "\\'; SET additional_table_filters = {}; --",
    "\\",
    "a'b\"c`d",
  ])("a parameter that would break out is a value: %s", async (value) => {
    const escaped = value.replaceAll("\\", "\\\\");
    const told = await attack("SELECT {x:String} = unhex({h:String})", {
      param_x: escaped,
      param_h: Buffer.from(value).toString("hex"),
    });
    expect(told.text).toBe("1\n");
  });

  test("a parameter cannot be our own, nor a setting", async () => {
    const query = { param_spanledger_statement: "SELECT body FROM state_objects" };
    expect((await attack("SELECT 1", query)).text).toBe("1\n");
    expect((await attack("SELECT {spanledger_statement:String}", query)).text).toBe(
      "SELECT body FROM state_objects\n",
    );
  });

  test("deep nesting, a huge statement, exponential aliases: refused in little time", async () => {
    const begin_ms = performance.now();
    await expectRefused(`SELECT ${"(".repeat(50_000)}1${")".repeat(50_000)}`);
    await expectRefused(`SELECT ${"-(".repeat(5_000)}1${")".repeat(5_000)}`);
    await expectRefused(`SELECT ${"[".repeat(2_000)}1${"]".repeat(2_000)}`);
    await expectRefused(`SELECT ${"(SELECT ".repeat(500)}1${")".repeat(500)}`);
    await expectRefused(`SELECT '${"x".repeat(300_000)}'`);
    await expectRefused(`SELECT ${Array.from({ length: 30_000 }, () => "1").join("+")}`);
    const doubled = Array.from({ length: 40 }, (_, n) => `x${n} + x${n} AS x${n + 1}`).join(", ");
    await expectRefused(`WITH 1 AS x0, ${doubled} SELECT x40`);
    expect(performance.now() - begin_ms).toBeLessThan(15_000);
  });

  test("more memory, time or rows than a query has", async () => {
    await expectRefused("SELECT arraySum(range(400000000))");
    await expectRefused(
      "SELECT groupArray(x) FROM (SELECT arrayJoin(range(9000000)) AS x, arrayJoin(range(9)) AS y)",
    );
    const pairs = Array.from({ length: 9 }, (_, n) => `arrayJoin(range(100${n}))`).join(" + ");
    await expectRefused(`SELECT count() FROM (SELECT ${pairs})`);
    await expectRefused("SELECT 1 AS x ORDER BY x WITH FILL FROM 1 TO 100000000000");
  });
});

describe("who does not take an answer", () => {
  test("keeps the turn until the connection ends, so that answers in memory are as few as turns", async () => {
    const sql = "SELECT repeat('x', 1000000) FROM (SELECT arrayJoin(range(50)))";
    const socket = connect(Number(new URL(endpoint.url).port), "127.0.0.1");
    socket.write(
      `POST / HTTP/1.1\r\nhost: localhost\r\nx-clickhouse-key: ${endpoint.keys.shop}\r\n` +
        `content-length: ${sql.length}\r\n\r\n${sql}`,
    );
    await once(socket, "readable");
    await sleep(200);
    expect(endpoint.turns.open).toBe(1);
    socket.destroy();
    await expect.poll(() => endpoint.turns.open).toBe(0);
  });
});

describe("who may ask", () => {
  test("nobody without a key; a key in the URL, a wrong one or one that only sends gets nothing", async () => {
    const status = async (options: Parameters<typeof ask>[2]) =>
      (await ask(endpoint.url, "SELECT 1", options)).status;
    expect(await status({})).toBe(401);
    expect(await status({ key: "wrong" })).toBe(401);
    expect(await status({ key: endpoint.keys.shop.replace(/.$/, "!") })).toBe(401);
    expect(await status({ key: endpoint.keys.ingest })).toBe(403);
    expect(await status({ query: { user: "x", password: endpoint.keys.shop } })).toBe(401);
    expect(await status({ key: endpoint.keys.shop, query: { password: "x" } })).toBe(401);
    expect(endpoint.admitted.strangers).toBeGreaterThanOrEqual(3);
  });

  test.each([
    ["Bearer", (key: string) => ({ authorization: `Bearer ${key}` })],
    ["X-ClickHouse-Key", (key: string) => ({ "x-clickhouse-user": "me", "x-clickhouse-key": key })],
    ["Basic", (key: string) => ({ authorization: `Basic ${btoa(`grafana:${key}`)}` })],
  ])("a key by %s is let in", async (_name, headersOf) => {
    const headers = headersOf(endpoint.keys.shop);
    const told = await ask(endpoint.url, "SELECT count() FROM calls", { headers });
    expect(told.text).toBe(`${OWN_CALLS}\n`);
  });

  test("too many requests and wrong keys get 429 with the time to wait", async () => {
    endpoint.admitted.wait_s = 7;
    for (const key of [endpoint.keys.shop, "wrong"]) {
      const told = await ask(endpoint.url, "SELECT 1", { key });
      expect([told.status, told.headers.get("retry-after")]).toEqual([429, "7"]);
    }
    endpoint.admitted.wait_s = 0;
  });

  test("pages of other sites get nothing, and no answer allows them to read", async () => {
    const headers = { "sec-fetch-site": "cross-site", origin: "https://evil.example" };
    const told = await ask(endpoint.url, "SELECT 1", { key: endpoint.keys.shop, headers });
    expect(told.status).toBe(403);
    const own = await ask(endpoint.url, "SELECT 1", {
      key: endpoint.keys.shop,
      headers: { origin: "https://evil.example" },
    });
    expect(own.headers.get("access-control-allow-origin")).toBeNull();
    const preflight = await fetch(endpoint.url, { method: "OPTIONS" });
    expect(preflight.status).toBe(405);
  });
});
