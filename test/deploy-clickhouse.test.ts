/**
 * Loads the two ClickHouse files of the deployment into the embedded engine, merged as the image
 * merges them. Invariant: the engine judges; nothing here repeats what a setting should mean.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";

import { fillPlaceholders, readMigrations } from "../clickhouse/migrate.ts";
import { TABLE_READERS, tablesFor } from "../clickhouse/readable-tables.ts";
import { readDeployment, readText, ROOT } from "./support/deployment.ts";
import { findNode, parseXml } from "./support/xml.ts";

describe("the XML reader of this test", () => {
  test("reads nesting, attributes, text and comments", () => {
    const root = parseXml('<!-- a <b> --><r><a k="v"/><c>1 &lt; 2</c></r>');
    expect(root.children.map(({ name }) => name)).toEqual(["a", "c"]);
    expect(findNode(root, "a")?.attributes).toEqual({ k: "v" });
    expect(findNode(root, "c")?.text).toBe("1 &lt; 2");
  });

  test.each([
    "<a><b></a></b>",
    "<a>",
    "</a>",
    "<a/><b/>",
    "",
    "x<a/>",
    "<a>1 < 2</a>",
    "<a>R&D</a>",
    "<a k=v/>",
    "<!-- a -- b --><a/>",
    "<a><!-- </a>",
  ])("refuses %j", (source) => {
    expect(() => parseXml(source)).toThrow(Error);
  });
});

const ENGINE = join(ROOT, "node_modules/chdb/package.json");
/** Runs each statement and prints whether it worked, with what it said; argv: data, config, file of JSON. */
const ENGINE_SCRIPT = `
  const [data, config, statements] = process.argv.slice(1);
  const session = new (require("chdb").Session)(data, { connectionArgs: ["--config-file=" + config] });
  const results = JSON.parse(require("node:fs").readFileSync(statements, "utf8")).map((statement) => {
    try { return [true, session.query(statement, "TSV").trim()]; }
    catch (error) { return [false, String(error.message)]; }
  });
  process.stdout.write("\\n@@" + JSON.stringify(results));
`;
/** What the image brings and our two files are merged over, as far as it matters here. */
const IMAGE_CONFIG = `<clickhouse><users_config>users.xml</users_config><mysql_port>9004</mysql_port>
  <postgresql_port>9005</postgresql_port><interserver_http_port>9009</interserver_http_port>
  <metric_log><table>metric_log</table></metric_log></clickhouse>`;
const IMAGE_USERS = `<clickhouse><profiles><default/></profiles><quotas><default/></quotas><users>
  <default><password></password><networks><ip>::/0</ip></networks><profile>default</profile>
  <quota>default</quota></default></users></clickhouse>`;

function replaceOnce(text: string, from: string, to: string): string {
  if (text.split(from).length !== 2) throw new Error(`"${from}" is not there exactly once`);
  return text.replace(from, to);
}

/**
 * Opens the embedded engine in a process of its own with server.xml and users.xml merged as the
 * image merges them, and runs statements as a user. The engine knows only the user "default", so
 * the user takes that name; the password is that of the environment, and the engine gives none.
 */
function runEngine(
  folder: string,
  user: "spanledger" | "grafana",
  statements: string[],
  options: { editUsers?: (text: string) => string; password?: string } = {},
): [boolean, string][] {
  for (const name of ["config.d", "users.d", "backups"]) {
    mkdirSync(join(folder, name), { recursive: true });
  }
  const server = replaceOnce(
    readText("clickhouse/config/server.xml"),
    "/var/lib/clickhouse/backups/",
    join(folder, "backups/"),
  );
  let users = replaceOnce(
    readText("clickhouse/config/users.xml"),
    '<default remove="remove"/>',
    "",
  );
  users = replaceOnce(users, `<${user}>`, '<default replace="replace">');
  users = replaceOnce(users, `</${user}>`, "</default>");
  const config = join(folder, "config.xml");
  writeFileSync(config, replaceOnce(IMAGE_CONFIG, "users.xml", join(folder, "users.xml")));
  writeFileSync(join(folder, "users.xml"), IMAGE_USERS);
  writeFileSync(join(folder, "config.d/spanledger.xml"), server);
  writeFileSync(join(folder, "users.d/spanledger.xml"), options.editUsers?.(users) ?? users);
  const password = options.password ?? "";
  // Not as an argument: those of the dashboards together are too long for one.
  const asked = join(folder, "statements.json");
  writeFileSync(asked, JSON.stringify(statements));
  const output = execFileSync(
    process.execPath,
    ["-e", ENGINE_SCRIPT, join(folder, "data"), config, asked],
    {
      cwd: ROOT,
      encoding: "utf8",
      env: { ...process.env, CLICKHOUSE_PASSWORD: password, GRAFANA_CLICKHOUSE_PASSWORD: password },
      // The engine logs every step to stderr.
      maxBuffer: 64 * 1024 * 1024,
      stdio: ["ignore", "pipe", "pipe"],
      timeout: 50_000,
    },
  );
  return JSON.parse(output.slice(output.lastIndexOf("\n@@") + 3)) as [boolean, string][];
}

function withFolder<T>(work: (folder: string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), "spanledger-deploy-"));
  try {
    return work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

describe.skipIf(!existsSync(ENGINE))("ClickHouse takes the configuration", () => {
  const create = [
    "CREATE DATABASE spanledger",
    `CREATE TABLE spanledger.t (day Date, v UInt8) ENGINE = MergeTree PARTITION BY day ORDER BY v
     SETTINGS non_replicated_deduplication_window = 100`,
    "INSERT INTO spanledger.t VALUES ('2026-01-01', 1)",
  ];

  test("and knows every setting, server setting and table setting in it", () => {
    const { server, users } = readDeployment();
    const leaves = server.children.filter(({ text }) => /^[\d.]+$/.test(text));
    const table = findNode(server, "merge_tree")?.children ?? [];
    const profiles = findNode(users, "profiles")?.children ?? [];
    const settings = profiles.flatMap(({ children }) =>
      children.flatMap((node) => (node.name === "constraints" ? node.children : [node])),
    );
    const wanted = [leaves, table, settings].map((nodes) => nodes.map(({ name }) => name));
    const queries = ["server_settings", "merge_tree_settings", "settings"].map(
      (name) => `SELECT name FROM system.${name}`,
    );
    const known = withFolder((folder) => runEngine(folder, "spanledger", queries));
    for (const [index, names] of wanted.entries()) {
      expect(names.length).toBeGreaterThan(2);
      expect(known[index]?.[1].split("\n")).toEqual(expect.arrayContaining(names));
    }
  });

  test("with its limits in force", () => {
    const value = (table: string, name: string) =>
      `SELECT value FROM system.${table} WHERE name = '${name}'`;
    const results = withFolder((folder) =>
      runEngine(folder, "spanledger", [
        value("server_settings", "max_server_memory_usage_to_ram_ratio"),
        value("server_settings", "mark_cache_size"),
        value("server_settings", "background_pool_size"),
        value("merge_tree_settings", "number_of_free_entries_in_pool_to_execute_mutation"),
        value("settings", "async_insert"),
        value("settings", "max_memory_usage"),
      ]),
    );
    expect(results.map(([, text]) => text)).toEqual([
      "0.6",
      "268435456",
      "4",
      "4",
      "0",
      "1500000000",
    ]);
  });

  test("and refuses it when a setting is misspelt", () => {
    const editUsers = (text: string) =>
      replaceOnce(text, "<async_insert>0</async_insert>", "<asynch_insert>0</asynch_insert>");
    expect(() =>
      withFolder((folder) => runEngine(folder, "spanledger", ["SELECT 1"], { editUsers })),
    ).toThrow(/asynch_insert/);
  });

  test("and takes the password from the environment", () => {
    expect(() =>
      withFolder((folder) => runEngine(folder, "spanledger", ["SELECT 1"], { password: "other" })),
    ).toThrow(/Authentication failed/i);
  });

  test("so that the writer inserts a repeated block twice and reaches nothing else", () => {
    const allowed = [
      ...create,
      "INSERT INTO spanledger.t VALUES ('2026-01-01', 1)",
      "INSERT INTO spanledger.t SELECT toDate('2025-01-01') + number, 2 FROM numbers(300)",
      "SELECT count() FROM spanledger.t WHERE v = 1",
      "ALTER TABLE spanledger.t ADD COLUMN w UInt8",
      "SELECT count() > 0 FROM system.parts",
    ];
    const denied = [
      "CREATE DATABASE other",
      "SELECT * FROM file('/etc/hostname', 'LineAsString')",
      "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
      "CREATE USER other",
    ];
    const results = withFolder((folder) =>
      runEngine(folder, "spanledger", [...allowed, ...denied]),
    );
    expect(results.slice(0, allowed.length).filter(([worked]) => !worked)).toEqual([]);
    expect(results[5]?.[1]).toBe("2");
    for (const [, text] of results.slice(allowed.length)) expect(text).toMatch(/ACCESS_DENIED/);
  });

  test("so that a block is dropped as a repetition without our settings", () => {
    const editUsers = (text: string) =>
      replaceOnce(text, "<deduplicate_insert>disable</deduplicate_insert>", "");
    const statements = [...create, create[2] ?? "", "SELECT count() FROM spanledger.t"];
    const results = withFolder((folder) =>
      runEngine(folder, "spanledger", statements, { editUsers }),
    );
    expect(results.at(-1)).toEqual([true, "1"]);
  });

  const grafanaAllowed = [
    "SELECT count() FROM spanledger.calls",
    "SELECT 1 SETTINGS max_execution_time = 65",
    "SELECT 1 SETTINGS additional_table_filters = {'spanledger.calls': 'v = 1'}",
    "SELECT count() > 0 FROM system.columns",
    "SELECT version(), timezone()",
  ];
  const grafanaDenied: [string, RegExp][] = [
    ["SELECT count() FROM spanledger.t", /ACCESS_DENIED/],
    ["INSERT INTO spanledger.calls VALUES ('2026-01-01', 1)", /ACCESS_DENIED|READONLY/],
    ["DROP TABLE spanledger.calls", /ACCESS_DENIED|READONLY/],
    ["CREATE TABLE spanledger.u (v UInt8) ENGINE = Memory", /ACCESS_DENIED|READONLY/],
    ["SELECT * FROM file('/etc/hostname', 'LineAsString')", /ACCESS_DENIED/],
    ["SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')", /ACCESS_DENIED/],
    ["SELECT * FROM remote('127.0.0.1', 'system', 'one')", /ACCESS_DENIED/],
    ["SELECT * FROM system.users", /ACCESS_DENIED/],
    ["SELECT 1 SETTINGS readonly = 0", /READONLY/],
    ["SELECT 1 SETTINGS max_execution_time = 600", /CONSTRAINT_VIOLATION/],
    ["SELECT 1 SETTINGS max_execution_time = 0", /CONSTRAINT_VIOLATION/],
    ["SELECT 1 SETTINGS max_memory_usage = 0", /CONSTRAINT_VIOLATION/],
    ["SELECT 1 SETTINGS max_result_rows = 0", /CONSTRAINT_VIOLATION/],
    ["SELECT 1 SETTINGS max_rows_to_read = 0", /CONSTRAINT_VIOLATION/],
    ["SELECT 1 SETTINGS result_overflow_mode = 'break'", /CONSTRAINT_VIOLATION/],
    ["SELECT number FROM numbers(300000)", /TOO_MANY_ROWS/],
  ];

  test("so that Grafana reads within its limits and cannot lift them", () => {
    const statements = [...grafanaAllowed, ...grafanaDenied.map(([statement]) => statement)];
    const calls = create
      .slice(1)
      .map((statement) => statement.replace("spanledger.t", "spanledger.calls"));
    const results = withFolder((folder) => {
      runEngine(folder, "spanledger", [...create, ...calls]);
      return runEngine(folder, "grafana", statements);
    });
    const allowed = results.splice(0, grafanaAllowed.length);
    expect(allowed.filter(([worked]) => !worked)).toEqual([]);
    expect(allowed[0]).toEqual([true, "1"]);
    for (const [index, [statement, message]] of grafanaDenied.entries()) {
      const [worked, text] = results[index] ?? [];
      expect({ statement, worked, text }).toEqual({
        statement,
        worked: false,
        text: expect.stringMatching(message),
      });
    }
  });

  test("and without the constraints Grafana could lift its limits", () => {
    const editUsers = (text: string) => text.replace(/<constraints>[^]*<\/constraints>/, "");
    const results = withFolder((folder) =>
      runEngine(folder, "grafana", ["SELECT 1 SETTINGS max_memory_usage = 0"], { editUsers }),
    );
    expect(results).toEqual([[true, "1"]]);
  });

  test("and backs up and restores as the guide says, into the one folder", () => {
    const results = withFolder((folder) =>
      runEngine(folder, "spanledger", [
        ...create,
        "BACKUP DATABASE spanledger TO File('2026-01-31')",
        "DROP DATABASE spanledger",
        "RESTORE DATABASE spanledger FROM File('2026-01-31')",
        "SELECT count() FROM spanledger.t",
        "BACKUP DATABASE spanledger TO File('/tmp/elsewhere')",
      ]),
    );
    expect(results[6]).toEqual([true, "1"]);
    expect(results[7]?.[1]).toMatch(/not allowed for backups/);
  });

  /**
   * The writer under its own name too: the engine of this test calls whoever asks "default", and a view
   * that reads as who made it would read as Grafana.
   */
  function keepWriter(users: string): string {
    const file = readText("clickhouse/config/users.xml");
    const [writer = ""] = /<spanledger>[^]*?<\/spanledger>/.exec(file) ?? [];
    const kept = users.includes("<spanledger>")
      ? users
      : users.replace("</users>", `${writer}</users>`);
    const grant = "<query>GRANT ALL ON spanledger.*</query>";
    return kept.replaceAll(grant, `${grant}<query>GRANT SET DEFINER ON spanledger</query>`);
  }

  /** Statements of Grafana's user after all migrations; those of the writer must work. */
  function askAsGrafana(folder: string, statements: readonly string[]): [boolean, string][] {
    const migrations = readMigrations().map(({ sql }) =>
      fillPlaceholders(sql).replace("DEFINER = CURRENT_USER", "DEFINER = spanledger"),
    );
    const made = runEngine(
      folder,
      "spanledger",
      [
        "CREATE DATABASE spanledger",
        "USE spanledger",
        "CREATE TABLE migrations (name String) ENGINE = MergeTree ORDER BY name",
        ...migrations,
      ],
      { editUsers: keepWriter },
    );
    expect(made.filter(([worked]) => !worked)).toEqual([]);
    const asked = ["USE spanledger", ...statements];
    return runEngine(folder, "grafana", asked, { editUsers: keepWriter }).slice(1);
  }

  test("so that Grafana reads what is readable and nothing else", () => {
    const names = Object.keys(TABLE_READERS);
    const statements = names.map((name) => `SELECT * FROM ${name} WHERE 0`);
    const all = "SELECT name FROM system.tables WHERE database = 'spanledger' ORDER BY name";
    const read = withFolder((folder) => askAsGrafana(folder, [...statements, all]));
    // What it may read is what system.tables shows it.
    const readable = tablesFor("project", "beneath", "installation");
    expect(read.at(-1)).toEqual([true, readable.toSorted().join("\n")]);
    for (const [index, name] of names.entries()) {
      const [worked, text] = read[index] ?? [];
      expect({ name, worked, text }).toEqual(
        readable.includes(name)
          ? { name, worked: true, text: "" }
          : { name, worked: false, text: expect.stringMatching(/ACCESS_DENIED/) as string },
      );
    }
  });
});
