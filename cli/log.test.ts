import { describe, expect, test } from "vitest";
import { readLogSettings, readTraceSettings } from "./config.ts";
import { makeLog, REDACTED } from "./log.ts";

const KEY = 'a-key-with-"quotes"-and-length';

/** A log whose lines are kept. */
function makeKeptLog(settings = readLogSettings({ SPANLEDGER_API_KEY: KEY })) {
  const lines: string[] = [];
  const log = makeLog("test", settings, { write: (line) => lines.push(line) });
  return { lines, log, first: () => JSON.parse(lines[0] ?? "{}") as Record<string, unknown> };
}

describe("redaction", () => {
  test.each(["authorization", "X-Api-Key", "cookie", "password", "api_key"])(
    "the value of %s is left out at any depth",
    (name) => {
      const { log, first } = makeKeptLog();
      log.warn({ [name]: "secret", request: { headers: [{ [name]: ["secret"] }] }, port: 1 }, "x");
      expect(first()).toMatchObject({
        [name]: REDACTED,
        request: { headers: [{ [name]: REDACTED }] },
        port: 1,
      });
    },
  );

  test("a secret of the settings is left out wherever it stands, and the line stays JSON", () => {
    const { log, lines, first } = makeKeptLog();
    log.error({ a: [`Bearer ${KEY}`], error: new Error(`bad ${KEY}`) }, `refused ${KEY}`);
    expect(lines.join("")).not.toContain("quotes");
    expect(first()).toMatchObject({
      a: [`Bearer ${REDACTED}`],
      error: { type: "Error", message: `bad ${REDACTED}` },
      msg: `refused ${REDACTED}`,
    });
  });

  test("fields nested without end are cut", () => {
    const fields: Record<string, unknown> = {};
    fields["self"] = fields;
    const { log, lines } = makeKeptLog();
    log.info(fields, "x");
    expect(lines[0]).toContain(REDACTED);
  });
});

describe("the settings of the log", () => {
  test("have every secret of the environment: keys, passwords as written and decoded, headers", () => {
    const { secrets } = readLogSettings({
      SPANLEDGER_API_KEY: "the-key-of-the-collector",
      SPANLEDGER_CLICKHOUSE_URL: "http://user:p%40ss%2Fword@db:8123/x",
      OTEL_EXPORTER_OTLP_HEADERS: "authorization=Bearer%20backend-token,x-team=blue",
    });
    for (const secret of [
      "the-key-of-the-collector",
      "p%40ss%2Fword",
      "p@ss/word",
      "backend-token",
    ]) {
      expect(secrets).toContain(secret);
    }
    expect(secrets).not.toContain("");
  });

  test("a level that is none does not keep the log from being made", () => {
    expect(readLogSettings({ SPANLEDGER_LOG_LEVEL: "loud" }).level).toBe("info");
    expect(readLogSettings({ SPANLEDGER_LOG_LEVEL: "ERROR" }).level).toBe("error");
    expect(readLogSettings({}).level).toBe("info");
  });

  test("lines below the level are not written", () => {
    const { log, lines } = makeKeptLog({ level: "warn", secrets: [] });
    log.info({}, "no");
    log.warn({}, "yes");
    log.error({}, "yes");
    expect(lines.map((line) => JSON.parse(line).level as string)).toEqual(["warn", "error"]);
  });
});

describe("whether it traces itself", () => {
  const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://localhost:4318" };

  test("is said by the endpoint alone", () => {
    expect(readTraceSettings({})).toBeNull();
    expect(readTraceSettings({ OTEL_EXPORTER_OTLP_ENDPOINT: " " })).toBeNull();
    expect(readTraceSettings(endpoint)).toEqual({
      settings: { service_name: "spanledger", sampler: "parentbased_always_on", sampler_ratio: 1 },
    });
    const traces = { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "https://x/v1/traces" };
    expect(readTraceSettings(traces)).toHaveProperty("settings");
  });

  test("is off where the standard switches say so", () => {
    expect(readTraceSettings({ ...endpoint, OTEL_SDK_DISABLED: "TRUE" })).toBeNull();
    expect(readTraceSettings({ ...endpoint, OTEL_TRACES_EXPORTER: "none" })).toBeNull();
  });

  test("is a problem, told and not thrown, where it cannot be done", () => {
    for (const wrong of [
      { OTEL_EXPORTER_OTLP_ENDPOINT: "localhost:4318" },
      { ...endpoint, OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" },
    ]) {
      expect(readTraceSettings(wrong)).toHaveProperty("problem");
    }
  });

  test("takes name, sampler and ratio from the standard variables", () => {
    const environment = {
      ...endpoint,
      OTEL_SERVICE_NAME: "ledger",
      OTEL_TRACES_SAMPLER: "traceidratio",
      OTEL_TRACES_SAMPLER_ARG: "0.01",
    };
    expect(readTraceSettings(environment)).toEqual({
      settings: { service_name: "ledger", sampler: "traceidratio", sampler_ratio: 0.01 },
    });
  });
});
