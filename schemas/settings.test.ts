/** Settings: every default works, every problem is told at once, nothing is silently ignored. */
import { describe, expect, test } from "vitest";
import {
  parseSettings,
  SETTINGS,
  type Setting,
  type SettingName,
  type Settings,
} from "./settings.ts";

function settingsOf(environment: Record<string, string | undefined> = {}): Settings {
  const result = parseSettings(environment);
  if ("problems" in result) throw new Error(result.problems.join("; "));
  return result.settings;
}

function problemsOf(environment: Record<string, string | undefined>): string[] {
  const result = parseSettings(environment);
  return "problems" in result ? result.problems : [];
}

describe("defaults", () => {
  test("an empty environment gives a server on loopback with an embedded engine", () => {
    expect(settingsOf()).toEqual({
      SPANLEDGER_DATA_DIR: "./data",
      SPANLEDGER_OTLP_HTTP: { host: "127.0.0.1", port: 4318 },
      SPANLEDGER_OTLP_PATH_PREFIX: null,
      SPANLEDGER_CORS_ORIGINS: null,
      SPANLEDGER_OTLP_GRPC: { host: "127.0.0.1", port: 4317 },
      SPANLEDGER_HTTP: { host: "127.0.0.1", port: 8080 },
      SPANLEDGER_MONITOR: { host: "127.0.0.1", port: 8888 },
      SPANLEDGER_CLICKHOUSE_URL: null,
      SPANLEDGER_CLICKHOUSE_HTTP: null,
      SPANLEDGER_CLICKHOUSE_HTTP_QUERIES_AT_ONCE: 4,
      SPANLEDGER_CLICKHOUSE_HTTP_QUERY_MEMORY_BYTES: 512 * 1024 ** 2,
      SPANLEDGER_CLICKHOUSE_HTTP_MAX_ROWS: 1_000_000,
      SPANLEDGER_API_KEY: null,
      SPANLEDGER_LOG_LEVEL: "info",
      SPANLEDGER_CAPTURE_CONTENT: false,
      SPANLEDGER_PRICES_FILE: null,
      SPANLEDGER_MAX_BODY_BYTES: 67_108_864,
      SPANLEDGER_MAX_IN_FLIGHT_BYTES: 268_435_456,
      SPANLEDGER_GRPC_MAX_STREAMS: 200,
      SPANLEDGER_GRPC_MAX_CONNECTION_AGE_S: 1_800,
      SPANLEDGER_TLS_CERT_FILE: null,
      SPANLEDGER_TLS_KEY_FILE: null,
      SPANLEDGER_TLS_CLIENT_CA_FILE: null,
      SPANLEDGER_MAX_FUTURE_S: 86_400,
      SPANLEDGER_MAX_AGE_S: 34_214_400,
      SPANLEDGER_WAL_MAX_BYTES: 10_737_418_240,
      SPANLEDGER_INSERT_MAX_ROWS: 100_000,
      SPANLEDGER_INSERT_BACKLOG_ROWS: 200_000,
      SPANLEDGER_INSERT_MAX_BYTES: 134_217_728,
      SPANLEDGER_INSERT_MAX_AGE_MS: 1_000,
      SPANLEDGER_DEAD_LETTER_MAX_BYTES: 1_073_741_824,
      SPANLEDGER_DEAD_LETTER_MAX_FILES: 10_000,
      SPANLEDGER_TRACE_SETTLE_S: 10,
      SPANLEDGER_TRACE_WINDOW_S: 21_600,
      SPANLEDGER_RECOMPUTE_INTERVAL_MS: 2_000,
      SPANLEDGER_RECOMPUTE_CPU_SHARE: 0.25,
      SPANLEDGER_RECOMPUTE_MEMORY_BYTES: 512 * 1024 ** 2,
      SPANLEDGER_SAMPLES_INTERVAL_S: 15,
      SPANLEDGER_ENGINE_MEMORY_BYTES: 2_147_483_648,
      SPANLEDGER_QUERY_TIMEOUT_S: 30,
      SPANLEDGER_KEYS_MAX_STALE_S: 60,
      SPANLEDGER_API_REQUESTS_PER_SECOND: 200,
      SPANLEDGER_API_WRONG_KEYS_PER_MINUTE: 60,
      SPANLEDGER_API_QUERIES_AT_ONCE: 4,
      SPANLEDGER_API_QUERIES_WAITING: 64,
      SPANLEDGER_ANSWER_CACHE_BYTES: 33_554_432,
      SPANLEDGER_JOBS_MAX: 2,
      SPANLEDGER_EXPORT_MAX_BYTES: 10_737_418_240,
      SPANLEDGER_EXPORT_KEEP_DAYS: 7,
      SPANLEDGER_LIVE_MAX_LISTENERS: 200,
      SPANLEDGER_LIVE_MAX_PROJECT_LISTENERS: 50,
      SPANLEDGER_LIVE_INTERVAL_MS: 2_000,
      SPANLEDGER_ALERTS_INTERVAL_S: 60,
      SPANLEDGER_ALERTS_MAX_ATTEMPTS: 16,
      SPANLEDGER_ALERTS_ALLOW_PRIVATE: false,
      SPANLEDGER_SMTP_URL: null,
      SPANLEDGER_SMTP_FROM: "Spanledger <spanledger@localhost>",
    });
  });

  test("a default written out is the default", () => {
    const written = Object.entries<Setting>(SETTINGS).flatMap(([name, setting]) =>
      setting.default === null ? [] : [[name, setting.default] as const],
    );
    expect(settingsOf(Object.fromEntries(written))).toEqual(settingsOf());
  });

  test("an empty or undefined variable is one that is not set", () => {
    const empty = Object.fromEntries(Object.keys(SETTINGS).map((name) => [name, ""]));
    expect(settingsOf(empty)).toEqual(settingsOf());
    expect(settingsOf({ SPANLEDGER_HTTP: undefined })).toEqual(settingsOf());
  });

  test("settings that hold secrets are marked as such", () => {
    const secret = Object.entries<Setting>(SETTINGS).filter(
      ([, setting]) => setting.secret === true,
    );
    expect(secret.map(([name]) => name)).toEqual([
      "SPANLEDGER_CLICKHOUSE_URL",
      "SPANLEDGER_API_KEY",
      "SPANLEDGER_SMTP_URL",
    ]);
  });

  test("names are ours, and every setting says what it is", () => {
    for (const [name, setting] of Object.entries<Setting>(SETTINGS)) {
      expect(name).toMatch(/^SPANLEDGER_[A-Z_]+$/);
      expect(setting.description, name).toMatch(/\.$/);
    }
  });
});

describe("values", () => {
  test.each([
    ["0.0.0.0:0", { host: "0.0.0.0", port: 0 }],
    ["localhost:65535", { host: "localhost", port: 65_535 }],
    ["[::1]:4318", { host: "::1", port: 4_318 }],
    ["[::]:80", { host: "::", port: 80 }],
    ["collector.example.com:00080", { host: "collector.example.com", port: 80 }],
  ])("%s is an address", (text, address) => {
    expect(settingsOf({ SPANLEDGER_HTTP: text }).SPANLEDGER_HTTP).toEqual(address);
  });

  test.each([
    ["true", true],
    ["TRUE", true],
    ["1", true],
    ["false", false],
    ["False", false],
    ["0", false],
  ])("%s is the flag %s", (text, flag) => {
    const { SPANLEDGER_CAPTURE_CONTENT } = settingsOf({ SPANLEDGER_CAPTURE_CONTENT: text });
    expect(SPANLEDGER_CAPTURE_CONTENT).toBe(flag);
  });

  test("the bounds of numbers are within them", () => {
    const given = {
      SPANLEDGER_MAX_FUTURE_S: "0",
      SPANLEDGER_INSERT_MAX_ROWS: "1000000",
      SPANLEDGER_QUERY_TIMEOUT_S: "1",
    };
    expect(settingsOf(given)).toMatchObject({
      SPANLEDGER_MAX_FUTURE_S: 0,
      SPANLEDGER_INSERT_MAX_ROWS: 1_000_000,
      SPANLEDGER_QUERY_TIMEOUT_S: 1,
    });
  });

  test("a URL and a key are taken as they are", () => {
    const url = "https://user:pa%20ss@clickhouse.example:8443/ledger";
    const key = "k".repeat(24);
    expect(settingsOf({ SPANLEDGER_CLICKHOUSE_URL: url, SPANLEDGER_API_KEY: key })).toMatchObject({
      SPANLEDGER_CLICKHOUSE_URL: url,
      SPANLEDGER_API_KEY: key,
    });
  });
});

describe("problems", () => {
  const wrong: readonly (readonly [SettingName, readonly string[]])[] = [
    [
      "SPANLEDGER_HTTP",
      ["8080", ":8080", "localhost", "localhost:", "localhost:http", "localhost:65536", "::1:80"],
    ],
    [
      "SPANLEDGER_OTLP_HTTP",
      ["http://127.0.0.1:4318", "127.0.0.1:-1", "a b:1:2", "127.0.0.1:123456"],
    ],
    ["SPANLEDGER_MONITOR", ["[::1]", "[::1]8888", "[]:1"]],
    ["SPANLEDGER_CLICKHOUSE_URL", ["clickhouse:8123", "tcp://clickhouse:9000", "file:///etc", "x"]],
    ["SPANLEDGER_API_KEY", ["short", "k".repeat(23)]],
    ["SPANLEDGER_CAPTURE_CONTENT", ["yes", "on", "2", " true"]],
    ["SPANLEDGER_MAX_BODY_BYTES", ["1023", "1073741825", "64MB", "1e6", "-1", "0x400", " 2048"]],
    ["SPANLEDGER_MAX_FUTURE_S", ["31622401", "1.5"]],
    ["SPANLEDGER_INSERT_MAX_ROWS", ["0", "1000001"]],
    ["SPANLEDGER_INSERT_MAX_AGE_MS", ["0", "60001"]],
    ["SPANLEDGER_RECOMPUTE_INTERVAL_MS", ["9", "3600001"]],
    ["SPANLEDGER_RECOMPUTE_CPU_SHARE", ["0", "0.009", "1.1", ".5", "half", "-0.5"]],
    ["SPANLEDGER_RECOMPUTE_MEMORY_BYTES", ["67108863", "1099511627777"]],
    ["SPANLEDGER_ENGINE_MEMORY_BYTES", ["1", "9".repeat(16)]],
    ["SPANLEDGER_QUERY_TIMEOUT_S", ["0", "3601"]],
    ["SPANLEDGER_WAL_MAX_BYTES", ["1048575"]],
    ["SPANLEDGER_MAX_IN_FLIGHT_BYTES", ["1"]],
  ];

  test.each(wrong.flatMap(([name, texts]) => texts.map((text) => [name, text] as const)))(
    "%s does not take %j and says so by name",
    (name, text) => {
      const problems = problemsOf({ [name]: text });
      expect(problems).toHaveLength(1);
      expect(problems[0]).toMatch(new RegExp(`^${name} \\S.{5,}`));
    },
  );

  test("every problem is told at once", () => {
    const environment = Object.fromEntries(wrong.map(([name, [text]]) => [name, text]));
    const problems = problemsOf({ ...environment, SPANLEDGER_TYPO: "1", SPANLEDGER_: "2" });
    expect(new Set(problems.map((problem) => problem.split(" ")[0]))).toEqual(
      new Set([...wrong.map(([name]) => name), "SPANLEDGER_TYPO", "SPANLEDGER_"]),
    );
    expect(problems).toHaveLength(wrong.length + 2);
  });

  test("a variable that looks like a setting and is none is a problem", () => {
    const names = ["SPANLEDGER_PORT", "SPANLEDGER_HTTP_", "SPANLEDGER_http", "SPANLEDGER_toString"];
    for (const name of names) {
      expect(problemsOf({ [name]: "x" })).toEqual([
        `${name} is not a setting of Spanledger; run "spanledger help" for the list`,
      ]);
    }
  });

  test("a variable of others, or of tests, is none of our business", () => {
    const environment = {
      PATH: "/bin",
      SPAN: "1",
      MY_SPANLEDGER_X: "1",
      SPANLEDGER_TEST_FAULT: "long",
    };
    expect(settingsOf(environment)).toEqual(settingsOf());
  });

  test("no problem tells the secret that is wrong", () => {
    const problems = problemsOf({
      SPANLEDGER_API_KEY: "hunter2",
      SPANLEDGER_CLICKHOUSE_URL: "tcp://user:hunter2@clickhouse:9000",
    });
    expect(problems).toHaveLength(2);
    expect(problems.join(" ")).not.toContain("hunter2");
  });
});
