/**
 * Who may import whom, and who may read the environment: the table is the rule, this is its check.
 * Data flows one way; a stage imports `schemas/` and never another stage.
 */
import { globSync, readFileSync } from "node:fs";
import { dirname, posix } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("../", import.meta.url));

interface Rule {
  /** Folders or files of ours that may be imported. */
  readonly units: readonly string[];
  /** Packages and Node modules that may be imported. */
  readonly modules: readonly string[];
}

const STAGES = [
  "receive",
  "decode",
  "normalize",
  "price",
  "columns",
  "ledger",
  "commit",
  "wal",
  "insert",
  "dead-letter",
  "ownership",
  "rating",
  "recompute",
  "telemetry",
].map((stage) => `collector/${stage}`);

/** A stage that takes bytes or records and returns them: no clock, no disk, no network. */
const PURE: Rule = { units: ["schemas"], modules: [] };

/** What each folder, or single file, may import. What is not listed fails, new folders included. */
const RULES: Readonly<Record<string, Rule>> = {
  schemas: { units: [], modules: ["zod", "node:fs", "node:crypto", "node:zlib"] },
  "schemas/prices/import.ts": {
    units: ["schemas"],
    modules: ["@pydantic/genai-prices", "node:fs", "node:process", "node:url", "node:path", "zod"],
  },
  clickhouse: {
    units: ["schemas"],
    modules: [
      "@clickhouse/client",
      "node:crypto",
      "node:fs",
      "node:fs/promises",
      "node:path",
      "node:stream",
      "zod",
    ],
  },
  "clickhouse-http": {
    units: ["schemas", "clickhouse"],
    modules: ["node:fs", "node:http", "node:util", "node:zlib"],
  },
  "collector/receive": {
    units: ["schemas"],
    modules: [
      "@grpc/grpc-js",
      "node:http",
      "node:http2",
      "node:https",
      "node:net",
      "node:stream",
      "node:tls",
      "node:util",
      "node:zlib",
    ],
  },
  "collector/decode": PURE,
  "collector/normalize": PURE,
  "collector/price": PURE,
  "collector/columns": PURE,
  "collector/ledger": PURE,
  "collector/commit": PURE,
  "collector/wal": {
    units: ["schemas"],
    modules: ["node:fs/promises", "node:path", "node:process", "node:zlib"],
  },
  "collector/insert": PURE,
  "collector/insert/target.ts": {
    units: ["schemas", "clickhouse", "collector/insert"],
    modules: [],
  },
  "collector/dead-letter": {
    units: ["schemas"],
    modules: ["node:fs/promises", "node:path", "zod"],
  },
  "collector/inserts.ts": {
    units: [
      "schemas",
      "clickhouse",
      "collector",
      "collector/insert/target.ts",
      "collector/pipeline.ts",
      ...STAGES,
    ],
    modules: ["node:crypto"],
  },
  "collector/ownership": { units: ["schemas", "clickhouse"], modules: [] },
  "collector/rating": { units: ["schemas", "clickhouse"], modules: [] },
  "collector/recompute": { units: ["schemas", "clickhouse"], modules: [] },
  // It counts into the metrics of the collector, which import no stage.
  "collector/telemetry": {
    units: ["schemas", "collector"],
    modules: ["@opentelemetry/api", "node:async_hooks"],
  },
  "collector/intake.ts": {
    units: [
      "schemas",
      "collector/columns",
      "collector/commit",
      "collector/decode",
      "collector/price",
      "collector/span-log.ts",
      "collector/traces.ts",
      "collector/wal",
    ],
    modules: [],
  },
  "collector/pipeline.ts": {
    units: [
      "schemas",
      "collector/intake.ts",
      "collector/span-log.ts",
      "collector/traces.ts",
      ...STAGES,
    ],
    modules: [],
  },
  "collector/span-log.ts": {
    units: ["schemas", "collector/columns", "collector/traces.ts", "collector/wal"],
    modules: [],
  },
  "collector/samples.ts": {
    units: ["schemas", "clickhouse", "collector", "collector/telemetry"],
    modules: [],
  },
  "collector/traces.ts": {
    units: [
      "schemas",
      "collector/columns",
      "collector/decode",
      "collector/normalize",
      "collector/price",
    ],
    modules: [],
  },
  "collector/receivers.ts": {
    units: ["schemas", "collector/pipeline.ts", "collector/receive", "collector/telemetry"],
    modules: ["node:http"],
  },
  "collector/collector.ts": {
    units: [
      "schemas",
      "clickhouse",
      "collector",
      "collector/inserts.ts",
      "collector/insert/target.ts",
      "collector/pipeline.ts",
      "collector/receivers.ts",
      "collector/samples.ts",
      ...STAGES,
    ],
    modules: ["node:crypto", "node:fs/promises", "node:http", "node:path"],
  },
  collector: { units: ["schemas"], modules: ["prom-client"] },
  state: { units: ["schemas", "clickhouse"], modules: ["node:crypto", "node:fs/promises", "zod"] },
  "query-api": {
    units: ["schemas", "clickhouse", "state", "rights", "alerting"],
    modules: [
      "hono",
      "node:crypto",
      "node:fs",
      "node:http",
      "node:module",
      "node:path",
      "node:stream",
      "node:timers/promises",
      "node:url",
      "node:util",
      "node:zlib",
      "ws",
      "zod",
    ],
  },
  // It asks usage by a function that is given to it: the query API asks alerting, never the reverse.
  alerting: {
    units: ["schemas", "clickhouse", "state", "alerting/delivery"],
    modules: ["node:crypto", "zod"],
  },
  "alerting/delivery": {
    units: ["schemas"],
    modules: [
      "node:crypto",
      "node:dns/promises",
      "node:http",
      "node:https",
      "node:net",
      "nodemailer",
    ],
  },
  rights: {
    units: ["schemas", "clickhouse", "state"],
    modules: [
      "node:crypto",
      "node:fs",
      "node:fs/promises",
      "node:path",
      "node:stream",
      "node:util",
      "node:zlib",
    ],
  },
  grafana: {
    units: ["schemas", "clickhouse"],
    modules: ["@grafana/grafana-foundation-sdk", "node:fs", "node:process", "node:util", "yaml"],
  },
  sdk: { units: [], modules: ["@opentelemetry/api"] },
  // In the browser: of `schemas/` types only, which `query-api/page-files.test.ts` sees to.
  page: { units: ["schemas", "page/snippets.ts"], modules: ["echarts", "htm", "preact"] },
  // Imports nothing: these stand in the text that people copy.
  "page/snippets.ts": {
    units: ["schemas"],
    modules: [
      "@opentelemetry/api",
      "@opentelemetry/exporter-trace-otlp-http",
      "@opentelemetry/sdk-node",
    ],
  },
  cli: {
    units: [
      "schemas",
      "schemas/prices/import.ts",
      "clickhouse",
      "clickhouse-http",
      "collector",
      "collector/collector.ts",
      "collector/pipeline.ts",
      "collector/dead-letter",
      "collector/inserts.ts",
      "collector/rating",
      "collector/telemetry",
      "rights",
      "state",
      "query-api",
      "alerting",
      "cli/demo",
    ],
    modules: [
      "@hono/node-server",
      "hono",
      "node:cluster",
      "node:crypto",
      "node:fs",
      "node:fs/promises",
      "node:http",
      "node:net",
      "node:path",
      "node:util",
      "node:zlib",
      "@opentelemetry/exporter-trace-otlp-proto",
      "@opentelemetry/resources",
      "@opentelemetry/sdk-trace",
      "pino",
      "prom-client",
    ],
  },
  "cli/demo": {
    units: ["schemas"],
    modules: [
      "@opentelemetry/api",
      "@opentelemetry/exporter-trace-otlp-http",
      "@opentelemetry/exporter-trace-otlp-proto",
      "@opentelemetry/resources",
      "@opentelemetry/sdk-node",
      "@opentelemetry/sdk-trace",
      "node:timers/promises",
      "node:util",
    ],
  },
};

/** The only files that may read the environment. */
const ENVIRONMENT_READERS = ["cli/config.ts"];

const IMPORT = /(?:\bfrom\s+|\bimport\s*\(\s*|\bimport\s+|\brequire\s*\(\s*)["']([^"']+)["']/g;

/** The rule a path falls under: the file itself, then its folder, then the top-level folder. */
function unitOf(path: string): string {
  if (path in RULES) return path;
  const [top = "", second = ""] = path.split("/");
  const nested = `${top}/${second}`;
  if (nested in RULES) return nested;
  // A new folder of the collector is a stage and needs a rule of its own.
  return top === "collector" && path.split("/").length > 2 ? nested : top;
}

function packageOf(specifier: string): string {
  if (specifier.startsWith("node:")) return specifier;
  return specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
}

/** Everything in a file that breaks a rule. */
function breaches(path: string, text: string): string[] {
  const unit = unitOf(path);
  const rule = RULES[unit];
  if (rule === undefined) return [`${path}: ${unit} has no rule`];
  const found: string[] = [];
  for (const [, specifier = ""] of text.matchAll(IMPORT)) {
    if (specifier.startsWith(".")) {
      const target = posix.join(dirname(path), specifier);
      const allowed = unitOf(target) === unit || rule.units.includes(unitOf(target));
      if (!allowed || target.endsWith("/main.ts")) found.push(`${path}: imports ${target}`);
    } else if (!rule.modules.includes(packageOf(specifier))) {
      found.push(`${path}: imports ${specifier}`);
    }
  }
  if (/\bprocess\.env\b|\benv\b[^\n]*from\s+["']node:process/.test(text)) {
    if (!ENVIRONMENT_READERS.includes(path)) found.push(`${path}: reads the environment`);
  }
  return found;
}

const TESTS = /\.test\.ts$|\/(fixture|testdata)[^/]*\.ts$/;

function sources(): string[] {
  return globSync(
    "{schemas,clickhouse,clickhouse-http,collector,state,query-api,alerting,rights,grafana,page,sdk,cli}/**/*.ts",
    {
      cwd: ROOT,
    },
  )
    .filter((path) => !TESTS.test(path) && !path.includes("node_modules"))
    .sort();
}

test("every import follows the data flow, and only the configuration reads the environment", () => {
  const paths = sources();
  expect(paths.length, "found no sources: the rule would pass by accident").toBeGreaterThan(40);
  expect(paths.flatMap((path) => breaches(path, readFileSync(`${ROOT}${path}`, "utf8")))).toEqual(
    [],
  );
});

describe("an injected breach of each kind is caught", () => {
  const cases: readonly (readonly [string, string, string])[] = [
    ["a stage imports a stage", "collector/decode/x.ts", 'import { a } from "../wal/wal.ts";'],
    ["a type of another stage", "collector/price/x.ts", 'import type { A } from "../wal/wal.ts";'],
    ["a re-export of a stage", "collector/wal/x.ts", 'export { a } from "../insert/loop.ts";'],
    ["a dynamic import", "collector/columns/x.ts", 'const a = await import("../wal/wal.ts");'],
    ["a bare import", "collector/decode/x.ts", 'import "../wal/wal.ts";'],
    ["the disk in a pure stage", "collector/normalize/x.ts", 'import fs from "node:fs";'],
    ["zod in a pure stage", "collector/decode/x.ts", 'import { z } from "zod";'],
    [
      "the collector in the query API",
      "query-api/x.ts",
      'import { a } from "../collector/metrics.ts";',
    ],
    [
      "the query API in the collector",
      "collector/x.ts",
      'import { a } from "../query-api/app.ts";',
    ],
    [
      "schemas importing the engine",
      "schemas/x.ts",
      'import { a } from "../clickhouse/engine.ts";',
    ],
    ["the command line imported", "clickhouse/x.ts", 'import { a } from "../cli/config.ts";'],
    ["a main file imported", "cli/x.ts", 'import { a } from "./main.ts";'],
    ["our code in the sdk", "sdk/x.ts", 'import { a } from "../schemas/units.ts";'],
    ["grafana in the query API", "query-api/x.ts", 'import { a } from "../grafana/build.ts";'],
    ["a package nobody decided on", "query-api/x.ts", 'import _ from "lodash";'],
    ["a new stage without a rule", "collector/enrich/x.ts", "export const a = 1;"],
    ["the pipeline in a stage", "collector/wal/x.ts", 'import { a } from "../pipeline.ts";'],
    ["the environment in a stage", "collector/wal/x.ts", "export const a = process.env;"],
    ["the environment in the command line", "cli/x.ts", 'import { env } from "node:process";'],
  ];
  test.each(cases)("%s", (_kind, path, text) => {
    expect(breaches(path, text)).not.toEqual([]);
  });
});
