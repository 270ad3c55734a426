/**
 * The list of functions against the engine's own: what the rule chooses is what stands in the list, so an
 * upgrade of the engine shows what it would add, for a person to look at.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { FunctionRow } from "../clickhouse/reader.ts";
import { loadQuery } from "../clickhouse/queries.ts";
import { openTestEngine, type TestEngine } from "../test/support/engine.ts";
import { chooseFunctions, describeFunction, isOffered } from "./functions.ts";

const LIST = new URL("./functions.txt", import.meta.url);
let laboratory: TestEngine;
let rows: FunctionRow[];

beforeAll(async () => {
  laboratory = await openTestEngine();
  rows = await laboratory.engine.query<FunctionRow>(loadQuery("list_functions"));
});

afterAll(() => laboratory.close());

test("the list is what the rule chooses of this engine's functions", () => {
  const chosen = `${chooseFunctions(rows).map(describeFunction).join("\n")}\n`;
  if (process.env["SPANLEDGER_TEST_UPDATE"] === "1") writeFileSync(LIST, chosen);
  expect(readFileSync(LIST, "utf8")).toBe(chosen);
});

test("no refused function differs from an offered one by case alone", () => {
  const chosen = new Set(chooseFunctions(rows).map(({ name }) => name));
  const both = rows
    .filter(({ name }) => !chosen.has(name) && isOffered(name))
    .map(({ name }) => name);
  expect(both).toEqual([]);
});

describe("what reads more than its arguments is not offered", () => {
  const names = [
    "file",
    "FILE",
    "sleep",
    "sleepEachRow",
    "joinGet",
    "joinGetOrNull",
    "dictGet",
    "dictHas",
    "dictGetOrDefault",
    "dictGetHierarchy",
    "getSetting",
    "getServerSetting",
    "getMacro",

    "getMergeTreeSetting",
    "getSettingOrDefault",
    "hostName",
    "hostname",
    "FQDN",
    "fullHostName",

    "serverUUID",
    "tcpPort",
    "getServerPort",
    "filesystemAvailable",
    "filesystemCapacity",
    "hasColumnInTable",
    "catboostEvaluate",
    "evalMLMethod",
    "aiGenerate",
    "AIGenerate",
    "aiEmbed",

    "generateRandomStructure",
    "formatQuery",
    "formatQuerySingleLine",
    "obfuscateQuery",
    "currentProfiles",
    "globalVariable",
    "addressToLine",
    "demangle",
    "logTrace",
    "tid",
    "throwIf",

    "getClientHTTPHeader",
    "showCertificate",
    "partitionId",
    "mergeTreePartInfo",
    "regionToName",

    "initializeAggregation",
    "runningAccumulate",
    "structureToProtobufSchema",
    "encrypt",
    "chdb",

    "__getScalar",
    "__scalarSubqueryResult",
    "_CAST",
    "naiveBayesClassifier",
    "displayName",
    "revision",
    "transactionID",
    "zookeeperSessionUptime",
    "getOSKernelVersion",
    "buildId",
    "merge",
    "mergeTreeIndex",
    "url",
    "remote",
    "s3",
    "numbers",
    "view",
    "viewExplain",
    "values",
  ];
  test.each(names)("%s", (name) => {
    expect(isOffered(name)).toBe(false);
  });
});

test.each(["sum", "SUM", "count", "sumIf", "quantilesTDigestIf", "uniqExactIf", "argMaxOrNullIf"])(
  "%s, which dashboards are made of, is offered",
  (name) => {
    expect(isOffered(name)).toBe(true);
  },
);
