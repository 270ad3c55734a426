/**
 * Holds the deployment files against each other, the code and the engine: no container runs here,
 * so what can be read off the files is. Invariant: every check is a function of the parsed files
 * and is itself proved, by a breach put into a copy of them that it must report.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";

import { SETTINGS } from "../schemas/settings.ts";
import { listCopied, readDeployment, readText, ROOT } from "./support/deployment.ts";
import type { DataSource, Deployment, Service } from "./support/deployment.ts";
import {
  checkCommands,
  checkMounts,
  checkSettings,
  checkPorts,
  checkImageProbe,
  checkPins,
  checkDependencies,
  checkSecrets,
  checkExample,
  checkExposure,
  checkHardening,
  checkImage,
  checkImports,
  IMAGE_SETTINGS,
} from "./support/deployment-checks.ts";
import {
  checkDataSource,
  checkServer,
  checkUsers,
  checkWal,
} from "./support/deployment-storage.ts";
import { findNode } from "./support/xml.ts";
import type { XmlNode } from "./support/xml.ts";

type Edit = (deployment: Deployment) => void;

function serviceOf(deployment: Deployment, name: string): Service {
  const service = deployment.compose.services[name];
  if (service === undefined) throw new Error(`no service ${name}`);
  return service;
}

function setVariable(service: string, name: string, value: string): Edit {
  return (deployment) => {
    serviceOf(deployment, service).environment = {
      ...serviceOf(deployment, service).environment,
      [name]: value,
    };
  };
}

function editService(name: string, change: Partial<Service>): Edit {
  return (deployment) => Object.assign(serviceOf(deployment, name), change);
}

function editNode(file: "users" | "server", path: string[], change: Partial<XmlNode>): Edit {
  return (deployment) => {
    const node = findNode(deployment[file], ...path);
    if (node === undefined) throw new Error(`no ${path.join("/")}`);
    Object.assign(node, change);
  };
}

function editDockerfile(word: string, from: string, to: string): Edit {
  return (deployment) => {
    const line = deployment.dockerfile.find(([name, rest]) => name === word && rest.includes(from));
    if (line === undefined) throw new Error(`no ${word} ${from}`);
    line[1] = line[1].replace(from, to);
  };
}

function editSource(change: (source: DataSource) => void): Edit {
  return (deployment) => {
    for (const source of deployment.datasources) change(source);
  };
}

const URL_NAME = "SPANLEDGER_CLICKHOUSE_URL";
const PASSWORD = "${CLICKHOUSE_PASSWORD:?set it}";

/** Each check, with breaches and what it must say about them. */
const CHECKS: [string, (deployment: Deployment) => string[], [Edit, RegExp][]][] = [
  [
    "every command is one of the launcher's",
    checkCommands,
    [
      [editService("collector", { command: ["colector"] }), /"colector" is not a command/],
      [editDockerfile("CMD", "collector", "start"), /"start" is not a command/],
      [editDockerfile("ENTRYPOINT", "bin/spanledger.js", "bin/none.js"), /entry point/],
    ],
  ],
  [
    "every mount has a source and every volume a use",
    checkMounts,
    [
      [editService("grafana", { volumes: ["./grafana/none:/x:ro"] }), /none is mounted/],
      [editService("grafana", { volumes: ["./grafana/provisioning:/x"] }), /can be written/],
      [editService("grafana", { volumes: ["nowhere:/x"] }), /nowhere is not declared/],
      [(deployment) => (deployment.compose.volumes["spare"] = {}), /spare is not used/],
    ],
  ],
  [
    "every setting is known and takes the value it is given",
    checkSettings,
    [
      [setVariable("collector", "SPANLEDGER_OTLP_PORT", "1"), /OTLP_PORT is not a setting/],
      [editDockerfile("ENV", "SPANLEDGER_DATA_DIR", "SPANLEDGER_DATA"), /SPANLEDGER_DATA is not/],
      [(deployment) => (deployment.example["SPANLEDGER_X"] = ""), /SPANLEDGER_X is not a setting/],
      [(deployment) => (deployment.guide += " SPANLEDGER_Y "), /SPANLEDGER_Y is not a setting/],
      [setVariable("query-api", "SPANLEDGER_HTTP", "8080"), /query-api: SPANLEDGER_HTTP must be/],
      [setVariable("collector", "SPANLEDGER_API_KEY", "short"), /at least 24 characters/],
    ],
  ],
  [
    "what is probed and published is listened on",
    checkPorts,
    [
      [
        setVariable("collector", "SPANLEDGER_MONITOR", "0.0.0.0:8889"),
        /collector is probed on 8888/,
      ],
      [setVariable("query-api", "SPANLEDGER_HTTP", "0.0.0.0:80"), /query-api publishes 8080/],
      [setVariable("collector", "SPANLEDGER_OTLP_HTTP", "127.0.0.1:4318"), /publishes 4318/],
      [setVariable("grafana", "GF_SERVER_HTTP_PORT", "3001"), /grafana is probed on 3000/],
      [editService("query-api", { healthcheck: {} }), /query-api is probed on no port/],
      [editService("clickhouse", { healthcheck: { test: ["http://db:8123/ping"] } }), /probes db/],
    ],
  ],
  [
    "the image probes the port of its default command",
    checkImageProbe,
    [[editDockerfile("HEALTHCHECK", ":8888", ":8080"), /probed on 8080, not 8888/]],
  ],
  [
    "every image and plugin is pinned to a version",
    checkPins,
    [
      [editService("grafana", { image: "grafana/grafana" }), /"grafana\/grafana" is not pinned/],
      [
        editService("clickhouse", { image: "clickhouse/clickhouse-server:latest" }),
        /latest" is not/,
      ],
      [editService("clickhouse", { image: "clickhouse/clickhouse-server:26.3" }), /26.3" is not/],
      [editDockerfile("FROM", "node:24.21.0-bookworm-slim", "node:24-slim"), /node:24-slim/],
      [editService("collector", { image: "spanledger:9.9.9" }), /not of version/],
      [
        setVariable("grafana", "GF_PLUGINS_PREINSTALL_SYNC", "a-plugin"),
        /"a-plugin" is not pinned/,
      ],
    ],
  ],
  [
    "every dependency exists and can be waited for",
    checkDependencies,
    [
      [
        editService("grafana", { depends_on: { db: { condition: "service_healthy" } } }),
        /db, which/,
      ],
      [editService("grafana", { depends_on: { clickhouse: {} } }), /condition undefined/],
      [editService("clickhouse", { healthcheck: {} }), /clickhouse has no health check/],
      [editService("migrate", { restart: "always" }), /waits for the end of migrate/],
    ],
  ],
  [
    "no secret is written down",
    checkSecrets,
    [
      [setVariable("collector", "SPANLEDGER_API_KEY", "abc"), /SPANLEDGER_API_KEY is literal/],
      [setVariable("clickhouse", "CLICKHOUSE_PASSWORD", "${X:-abc}"), /PASSWORD is literal/],
      [setVariable("migrate", URL_NAME, "http://a:b@clickhouse:8123/x"), /literal password/],
      [editDockerfile("ENV", "NODE_ENV=", "API_KEY=abc NODE_ENV="), /the image carries API_KEY/],
      [(deployment) => (deployment.example["CLICKHOUSE_PASSWORD"] = "abc"), /has a value/],
      [editNode("users", ["users", "grafana", "password"], { text: "abc" }), /literal password/],
      [editNode("users", ["users", "grafana", "password"], { attributes: {} }), /literal password/],
      [editSource((source) => (source.secureJsonData["password"] = "abc")), /literal secret/],
    ],
  ],
  [
    ".env.example names every variable with its default",
    checkExample,
    [
      [(deployment) => delete deployment.example["GRAFANA_PORT"], /GRAFANA_PORT is not in/],
      [(deployment) => (deployment.example["SPARE"] = "1"), /SPARE of .env.example is not used/],
      [(deployment) => (deployment.example["GRAFANA_PORT"] = "3001"), /GRAFANA_PORT has not the/],
      [
        editService("migrate", { mem_limit: "${SPANLEDGER_API_KEY}" }),
        /API_KEY has not the default/,
      ],
      [
        (deployment) => (deployment.example["GRAFANA_ADMIN_PASSWORD"] = "x"),
        /has an example value/,
      ],
    ],
  ],
  [
    "ClickHouse has the users, passwords and database that are used",
    checkUsers,
    [
      [editNode("users", ["users", "default"], { attributes: {} }), /without a password/],
      [
        setVariable("migrate", URL_NAME, `http://root:${PASSWORD}@clickhouse:8123/spanledger`),
        /no user root/,
      ],
      [
        setVariable("migrate", URL_NAME, `http://spanledger:${PASSWORD}@db:8123/spanledger`),
        /listens on db/,
      ],
      [
        setVariable(
          "migrate",
          URL_NAME,
          `http://spanledger:${PASSWORD}@clickhouse:8124/spanledger`,
        ),
        /:8124/,
      ],
      [
        setVariable("migrate", URL_NAME, `http://spanledger:${PASSWORD}@clickhouse:8123/other`),
        /no database other/,
      ],
      [editNode("users", ["users", "grafana", "profile"], { text: "none" }), /no profile none/],
      [editNode("users", ["users", "spanledger", "grants"], { children: [] }), /may do everything/],
      [
        editNode("users", ["users", "grafana", "networks", "ip"], { text: "::/0" }),
        /from anywhere/,
      ],
      [
        (deployment) =>
          delete serviceOf(deployment, "clickhouse").environment?.["CLICKHOUSE_PASSWORD"],
        /has no CLICKHOUSE_PASSWORD/,
      ],
    ],
  ],
  [
    "Grafana reads as a user that exists and cannot write",
    checkDataSource,
    [
      [editSource((source) => (source.uid = "other")), /uid has changed/],
      [editSource((source) => (source.editable = true)), /can be edited/],
      [editSource((source) => (source.type = "other")), /plugin other/],
      [editSource((source) => (source.jsonData["username"] = "nobody")), /no user nobody/],
      [
        editSource((source) => (source.jsonData["username"] = "spanledger")),
        /spanledger can write/,
      ],
      [editSource((source) => (source.jsonData["port"] = 9001)), /clickhouse:9001/],
      [
        editSource((source) => (source.jsonData["defaultDatabase"] = "otel")),
        /lacks GRANT SELECT ON otel.calls/,
      ],
      [editSource((source) => (source.secureJsonData["password"] = "$OTHER")), /another user's/],
      [editNode("users", ["profiles", "grafana_reader", "readonly"], { text: "0" }), /can write/],
      [
        editNode("users", ["users", "grafana", "grants", "query"], { text: "GRANT ALL ON *.*" }),
        /GRANT ALL/,
      ],
      [
        editNode("users", ["users", "grafana", "grants", "query"], {
          text: "GRANT SELECT ON spanledger.state_objects",
        }),
        /not to be read: GRANT SELECT ON spanledger.state_objects/,
      ],
      [
        editNode("users", ["users", "grafana", "grants", "query"], {
          text: "GRANT SELECT ON spanledger.*",
        }),
        /not to be read: GRANT SELECT ON spanledger\.\*/,
      ],
      [
        (deployment) =>
          delete serviceOf(deployment, "grafana").environment?.["GRAFANA_CLICKHOUSE_PASSWORD"],
        /Grafana has no/,
      ],
    ],
  ],
  [
    "the write-ahead log lies on a volume of its own",
    checkWal,
    [
      [setVariable("collector", "SPANLEDGER_DATA_DIR", "/data"), /loses \/data with its container/],
      [editService("collector", { volumes: ["./data:/var/lib/spanledger"] }), /loses/],
      [editService("query-api", { volumes: ["collector-wal:/x"] }), /collector-wal is shared/],
      [
        editDockerfile("RUN", "chown node:node /var/lib/spanledger", "chown node:node"),
        /does not give/,
      ],
    ],
  ],
  [
    "ClickHouse cannot be reached and the rest is bound to loopback",
    checkExposure,
    [
      [
        editService("clickhouse", { ports: ["${BIND_ADDRESS:-127.0.0.1}:8123:8123"] }),
        /is published/,
      ],
      [editService("clickhouse", { networks: ["storage", "edge"] }), /a way out/],
      [(deployment) => (deployment.compose.networks["storage"] = {}), /a way out/],
      [editService("grafana", { ports: ["3000:3000"] }), /3000:3000 on every interface/],
      [
        editService("grafana", { ports: ["${BIND_ADDRESS:-0.0.0.0}:3000:3000"] }),
        /every interface/,
      ],
    ],
  ],
  [
    "every service is limited and stripped of privileges",
    checkHardening,
    [
      [(deployment) => delete serviceOf(deployment, "clickhouse").mem_limit, /no memory limit/],
      [editService("grafana", { logging: { driver: "json-file" } }), /never rotates/],
      [editService("collector", { restart: "no" }), /collector restarts "no"/],
      [editService("clickhouse", { security_opt: [] }), /clickhouse may gain privileges/],
      [editService("collector", { read_only: false }), /collector has a writable root/],
      [editService("grafana", { tmpfs: [] }), /grafana has no \/tmp/],
      [editService("query-api", { cap_drop: [] }), /query-api keeps capabilities/],
    ],
  ],
  [
    "the image is Node 24 without development packages, secrets or root",
    checkImage,
    [
      [editDockerfile("RUN", "--omit=optional", ""), /without "--omit=optional"/],
      [editDockerfile("RUN", "npm ci", "npm install"), /without "npm ci"/],
      [editDockerfile("USER", "node", "root"), /runs as root/],
      [
        (deployment) =>
          (deployment.dockerfile = deployment.dockerfile.filter(([word]) => word !== "USER")),
        /runs as root/,
      ],
      [editDockerfile("COPY", "schemas", "schema"), /COPY schema: does not exist/],
      [(deployment) => deployment.dockerignore.push("schemas"), /schemas: kept out/],
      [(deployment) => deployment.dockerignore.push("!.env"), /.env gets into the build/],
      [editDockerfile("FROM", "node:24.21.0", "node:22.1.0"), /is not Node 24/],
      [editDockerfile("ENV", "NODE_COMPILE_CACHE=/var/cache/spanledger", "X=1"), /compile cache/],
    ],
  ],
  [
    "the ClickHouse server starts on a small box and writes no log tables of its own",
    checkServer,
    [
      [editNode("server", ["background_pool_size"], { text: "1" }), /above the 2 slots/],
      [editNode("server", ["merge_tree"], { children: [] }), /execute_mutation is above/],
      [editNode("server", ["mark_cache_size"], { text: "5368709120" }), /caches of/],
      [editNode("server", ["trace_log"], { attributes: {} }), /system.trace_log is kept/],
      [editNode("server", ["query_log"], { children: [] }), /query_log is kept for ever/],
    ],
  ],
];

describe.each(CHECKS)("%s", (_, check, breaches) => {
  test("holds for the files as they are", () => {
    expect(check(readDeployment())).toEqual([]);
  });

  test.each(breaches.map(([edit, message]) => [message, edit] as const))(
    "a breach is reported: %s",
    (message, edit) => {
      const deployment = readDeployment();
      edit(deployment);
      expect(check(deployment).join("\n")).toMatch(message);
    },
  );
});

test("the settings of the containers are settings of the programs", () => {
  expect(Object.keys(SETTINGS)).toEqual(expect.arrayContaining(IMAGE_SETTINGS));
});

describe("the code in the image", () => {
  const copied = listCopied(readDeployment());

  test("is complete and needs no package that was left out", () => {
    const { dependencies } = JSON.parse(readText("package.json")) as {
      dependencies: Record<string, string>;
    };
    const read = (path: string) => (existsSync(join(ROOT, path)) ? readText(path) : undefined);
    expect(checkImports(read, copied, Object.keys(dependencies))).toEqual([]);
  });

  test.each([
    [{ "cli/main.ts": 'import { a } from "../sdk/a.ts";' }, ["sdk/a.ts is not in the image"]],
    [{ "cli/main.ts": 'await import("../bench/a.ts");' }, ["bench/a.ts is not in the image"]],
    [
      {
        "cli/main.ts": 'import "../clickhouse/a.ts";',
        "clickhouse/a.ts": 'import { S } from "chdb";',
      },
      ["clickhouse/a.ts needs chdb, which is left out"],
    ],
    [
      { "cli/main.ts": 'import "../clickhouse/a.ts";', "clickhouse/a.ts": 'await import("chdb");' },
      [],
    ],
    [{ "cli/main.ts": 'await import("./demo/a.ts");', "cli/demo/a.ts": 'import "vitest";' }, []],
    [{ "cli/main.ts": 'import type { A } from "../sdk/a.ts";\n// import "../sdk/b.ts";' }, []],
  ])("imports of %j are judged", (files: Record<string, string>, problems) => {
    expect(checkImports((path) => files[path], copied, ["zod"])).toEqual(problems);
  });
});
