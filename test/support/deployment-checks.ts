/**
 * Checks of the image and the Compose file. Invariant: a check is a function of its arguments and
 * of which files exist; it returns its findings, one line each, and an empty list when all is well.
 */
import { existsSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

import { COMMANDS } from "../../cli/commands.ts";
import { parseSettings } from "../../schemas/settings.ts";
import {
  fillExample,
  interpolate,
  isOurs,
  listCopied,
  listListening,
  listServices,
  listVariables,
  portOf,
  readEnvironment,
  readImageEnvironment,
  readText,
  ROOT,
} from "./deployment.ts";
import type { Deployment } from "./deployment.ts";
import { flattenNodes } from "./xml.ts";

/** The settings that the containers may be given. */
export const IMAGE_SETTINGS = [
  "SPANLEDGER_DATA_DIR",
  "SPANLEDGER_OTLP_HTTP",
  "SPANLEDGER_OTLP_GRPC",
  "SPANLEDGER_HTTP",
  "SPANLEDGER_CLICKHOUSE_URL",
  "SPANLEDGER_CAPTURE_CONTENT",
  "SPANLEDGER_API_KEY",
  "SPANLEDGER_MONITOR",
  "SPANLEDGER_TLS_CERT_FILE",
  "SPANLEDGER_TLS_KEY_FILE",
];

/** Every command used is one that the launcher and the command line know. */
export function checkCommands({ compose, dockerfile }: Deployment): string[] {
  const used = Object.values(compose.services).flatMap((service) =>
    isOurs(service) ? [service.command?.[0] ?? "(none)"] : [],
  );
  const rest = (word: string) => dockerfile.find(([name]) => name === word)?.[1] ?? "[]";
  used.push(...(JSON.parse(rest("CMD")) as string[]));
  const problems = used
    .filter((command) => !Object.hasOwn(COMMANDS, command))
    .map((command) => `"${command}" is not a command`);
  const launcher = (JSON.parse(rest("ENTRYPOINT")) as string[])[1] ?? "";
  if (!existsSync(join(ROOT, launcher))) problems.push(`entry point "${launcher}" does not exist`);
  return problems;
}

/** Every mounted file exists and is read-only, every volume is declared and used. */
export function checkMounts(deployment: Deployment): string[] {
  const { services, volumes } = deployment.compose;
  const mounts = Object.values(services).flatMap((service) => service.volumes ?? []);
  const named = mounts.map((mount) => mount.split(":")[0] ?? "");
  return [
    ...named
      .filter((from) => from.startsWith(".") && !existsSync(join(ROOT, from)))
      .map((from) => `${from} is mounted and does not exist`),
    ...mounts
      .filter((mount) => mount.startsWith(".") && !mount.endsWith(":ro"))
      .map((mount) => `${mount} can be written by the container`),
    ...named
      .filter((from) => !from.startsWith(".") && !(from in volumes))
      .map((from) => `volume ${from} is not declared`),
    ...Object.keys(volumes)
      .filter((name) => !named.includes(name))
      .map((name) => `volume ${name} is not used`),
  ];
}

/** Every SPANLEDGER_ variable is a setting, and the programs accept the values. */
export function checkSettings(deployment: Deployment): string[] {
  const text = JSON.stringify([
    deployment.compose,
    deployment.dockerfile,
    deployment.guide,
    Object.keys(deployment.example),
  ]);
  const used = new Set(text.match(/\bSPANLEDGER_\w+/g));
  const unknown = [...used].filter((name) => !IMAGE_SETTINGS.includes(name));
  const values = fillExample(deployment);
  const refused = listServices(deployment).flatMap(([name, service]) => {
    const entries = Object.entries(readEnvironment(deployment, service));
    const environment = entries.map(([key, value]) => [key, interpolate(value, values)]);
    const result = parseSettings(Object.fromEntries(environment) as Record<string, string>);
    const problems = isOurs(service) && "problems" in result ? result.problems : [];
    return problems.map((problem) => `${name}: ${problem}`);
  });
  return [...unknown.map((name) => `${name} is not a setting`), ...refused];
}

/** Published and probed ports are listened on. */
export function checkPorts(deployment: Deployment): string[] {
  return listServices(deployment).flatMap(([name, service]) => {
    const listening = listListening(deployment, name, service);
    const environment = readEnvironment(deployment, service);
    const local =
      service.command?.[0] === "collector"
        ? [portOf(environment, "SPANLEDGER_MONITOR")]
        : listening;
    const probe = service.healthcheck?.test?.join(" ") ?? "";
    const [, host = "", port = ""] = /http:\/\/([\w.-]+):(\d+)\//.exec(probe) ?? [];
    const problems = (service.ports ?? [])
      .map((entry) => Number(entry.slice(entry.lastIndexOf(":") + 1)))
      .filter((published) => !listening.includes(published))
      .map((published) => `${name} publishes ${published} and does not listen on it`);
    if (service.healthcheck?.disable === true) return problems;
    if (!local.includes(Number(port))) problems.push(`${name} is probed on ${port || "no port"}`);
    if (host !== "127.0.0.1" && host !== name) problems.push(`${name} probes ${host}`);
    return problems;
  });
}

/** The HEALTHCHECK of the image asks where its default command answers. */
export function checkImageProbe(deployment: Deployment): string[] {
  const probe = deployment.dockerfile.find(([word]) => word === "HEALTHCHECK")?.[1] ?? "";
  const port = /127\.0\.0\.1:(\d+)\/healthz/.exec(probe)?.[1];
  const expected = portOf(readImageEnvironment(deployment), "SPANLEDGER_MONITOR");
  return Number(port) === expected ? [] : [`the image is probed on ${port}, not ${expected}`];
}

/** Images and the Grafana plugin have a full version. */
export function checkPins(deployment: Deployment): string[] {
  const version = (JSON.parse(readText("package.json")) as { version: string }).version;
  const images = [
    ...Object.values(deployment.compose.services).map((service) => service.image ?? ""),
    ...deployment.dockerfile
      .filter(([word]) => word === "FROM")
      .map(([, rest]) => rest.split(" ")[0] ?? ""),
  ];
  const loose = images.filter((image) => !/^[\w./-]+:\d+\.\d+\.\d+[\w.-]*$/.test(image));
  const own = Object.values(deployment.compose.services).filter(
    (service) => isOurs(service) && service.image !== `spanledger:${version}`,
  );
  const plugin =
    deployment.compose.services["grafana"]?.environment?.["GF_PLUGINS_PREINSTALL_SYNC"];
  return [
    ...loose.map((image) => `image "${image}" is not pinned`),
    ...own.map((service) => `image ${service.image} is not of version ${version}`),
    ...(/^[\w-]+@\d+\.\d+\.\d+$/.test(plugin ?? "") ? [] : [`plugin "${plugin}" is not pinned`]),
  ];
}

/** Each depends_on exists and has what its condition waits for. */
export function checkDependencies({ compose }: Deployment): string[] {
  return Object.entries(compose.services).flatMap(([name, service]) =>
    Object.entries(service.depends_on ?? {}).flatMap(([other, { condition }]) => {
      const target = compose.services[other];
      if (target === undefined) return [`${name} depends on ${other}, which does not exist`];
      if (condition === "service_healthy") {
        return target.healthcheck?.test === undefined ? [`${other} has no health check`] : [];
      }
      if (condition === "service_completed_successfully") {
        return target.restart === "no" ? [] : [`${name} waits for the end of ${other}`];
      }
      return [`${name} depends on ${other} with condition ${condition}`];
    }),
  );
}

/** No file holds a secret, and Compose refuses to start without one. */
export function checkSecrets(deployment: Deployment): string[] {
  const secret = /PASSWORD|SECRET|TOKEN|(?:^|_)KEY$/;
  const problems = listServices(deployment).flatMap(([name, service]) =>
    Object.entries(service.environment ?? {}).flatMap(([key, value]) => {
      if (secret.test(key) && !/^\$\{\w+:\?[^}]+\}$/.test(value))
        return [`${name} ${key} is literal`];
      const password = /:\/\/[^/@]*?:(.*)@/.exec(value)?.[1];
      const literal = password !== undefined && !/^\$\{\w+:\?[^}]+\}$/.test(password);
      return literal ? [`${name} ${key} carries a literal password`] : [];
    }),
  );
  for (const name of Object.keys(readImageEnvironment(deployment))) {
    if (secret.test(name)) problems.push(`the image carries ${name}`);
  }
  for (const [name, value] of Object.entries(deployment.example)) {
    if (secret.test(name) && value !== "") problems.push(`.env.example has a value for ${name}`);
  }
  for (const node of flattenNodes(deployment.users)) {
    if (!node.name.startsWith("password")) continue;
    const hidden = node.attributes["hide_in_preprocessed"] === "true";
    const external = node.attributes["from_env"] !== undefined && node.text === "";
    if (!hidden || !external) problems.push("users.xml has a literal password");
  }
  for (const { uid, secureJsonData } of deployment.datasources) {
    const literal = Object.values(secureJsonData).some((value) => !/^\$\w+$/.test(value));
    if (literal) problems.push(`data source ${uid} has a literal secret`);
  }
  return problems;
}

/** .env.example and Compose name the same variables with the same defaults. */
export function checkExample(deployment: Deployment): string[] {
  const variables = listVariables(deployment);
  const used = new Set(variables.map(([name]) => name));
  return [
    ...[...used]
      .filter((name) => !(name in deployment.example))
      .map((name) => `${name} is not in .env.example`),
    ...Object.keys(deployment.example)
      .filter((name) => !used.has(name))
      .map((name) => `${name} of .env.example is not used`),
    ...variables.flatMap(([name, kind, rest]) => {
      const shown = deployment.example[name];
      if (kind === "?") return shown === "" ? [] : [`${name} is required and has an example value`];
      return kind === "-" && shown === rest ? [] : [`${name} has not the default of .env.example`];
    }),
  ];
}

/** ClickHouse is reachable from the other containers only, the rest from loopback. */
export function checkExposure(deployment: Deployment): string[] {
  const { networks, services } = deployment.compose;
  const problems = listServices(deployment).flatMap(([name, service]) =>
    (service.ports ?? [])
      .filter((entry) => !entry.startsWith("${BIND_ADDRESS:-127.0.0.1}:"))
      .map((entry) => `${name} publishes ${entry} on every interface`),
  );
  const storage = services["clickhouse"]?.networks ?? [];
  if ((services["clickhouse"]?.ports ?? []).length > 0) problems.push("ClickHouse is published");
  if (storage.length === 0 || storage.some((name) => networks[name]?.internal !== true)) {
    problems.push("ClickHouse is on a network with a way out");
  }
  return problems;
}

/** Limits, log rotation, restarts and privileges of each service. */
export function checkHardening(deployment: Deployment): string[] {
  return listServices(deployment).flatMap(([name, service]) => {
    const { options } = service.logging ?? {};
    const expected = service.command?.[0] === "migrate" ? "no" : "unless-stopped";
    const rules: [boolean, string][] = [
      [service.mem_limit !== undefined, "has no memory limit"],
      [
        options?.["max-size"] !== undefined && options["max-file"] !== undefined,
        "never rotates its log",
      ],
      [service.restart === expected, `restarts "${service.restart}"`],
      [service.security_opt?.includes("no-new-privileges:true") === true, "may gain privileges"],
      [name === "clickhouse" || service.read_only === true, "has a writable root file system"],
      [name === "clickhouse" || service.tmpfs?.includes("/tmp") === true, "has no /tmp"],
      [name === "clickhouse" || service.cap_drop?.includes("ALL") === true, "keeps capabilities"],
    ];
    return rules.filter(([kept]) => !kept).map(([, text]) => `${name} ${text}`);
  });
}

/** Whether .dockerignore (last match wins) keeps a top-level path out of the build. */
function isIgnored(lines: string[], path: string): boolean {
  let ignored = false;
  for (const line of lines) {
    if (line === "*" || line === path) ignored = true;
    else if (line === `!${path}`) ignored = false;
  }
  return ignored;
}

/** What gets into the image and as whom it runs. */
export function checkImage(deployment: Deployment): string[] {
  const { dockerfile, dockerignore } = deployment;
  const runs = dockerfile.filter(([word]) => word === "RUN").map(([, rest]) => rest);
  const install = runs.find((line) => line.startsWith("npm ")) ?? "";
  const last = dockerfile.findLastIndex(([word]) => word === "FROM");
  const user = dockerfile.slice(last).find(([word]) => word === "USER")?.[1] ?? "root";
  const problems = listCopied(deployment).flatMap((path) => {
    if (!existsSync(join(ROOT, path))) return [`COPY ${path}: does not exist`];
    return isIgnored(dockerignore, path) ? [`COPY ${path}: kept out by .dockerignore`] : [];
  });
  for (const flag of ["npm ci", "--omit=dev", "--omit=optional", "--ignore-scripts"]) {
    if (!install.includes(flag)) problems.push(`npm runs without "${flag}"`);
  }
  for (const path of [".env", ".git", "node_modules", "data", "test"]) {
    if (!isIgnored(dockerignore, path)) problems.push(`${path} gets into the build`);
  }
  if (["root", "0"].includes(user)) problems.push("the image runs as root");
  const cache = readImageEnvironment(deployment)["NODE_COMPILE_CACHE"];
  if (!runs.some((line) => line.includes(`chown node:node`) && line.includes(` ${cache}`))) {
    problems.push("the compile cache has no folder to write to");
  }
  const base = dockerfile
    .filter(([word]) => word === "FROM")
    .map(([, rest]) => rest.split(" ")[0] ?? "");
  for (const image of base)
    if (!/^node:24\..*-slim$/.test(image)) problems.push(`${image} is not Node 24`);
  return problems;
}

/** The specifiers a module names, and whether it waits for them to be needed. Type imports vanish. */
function listImports(source: string): { specifier: string; lazy: boolean }[] {
  const code = source.replace(/\/\*[^]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");
  const eager = code.matchAll(/^(?:import|export)\s+(?!type\s)(?:[^"';]*?\sfrom\s+)?"([^"]+)"/gm);
  const lazy = code.matchAll(/\bimport\(\s*"([^"]+)"/g);
  return [
    ...[...eager].map(([, specifier = ""]) => ({ specifier, lazy: false })),
    ...[...lazy].map(([, specifier = ""]) => ({ specifier, lazy: true })),
  ];
}

/** What commands load only in a checkout, and say so elsewhere. */
const CHECKOUT_ONLY: readonly string[] = ["cli/demo/", "schemas/prices/import.ts"];

/**
 * Walks from cli/main.ts over everything but the demo, which is for a checkout: each module reached
 * must be copied into the image, and each package loaded at once must be installed there.
 */
export function checkImports(
  read: (path: string) => string | undefined,
  copied: string[],
  packages: string[],
): string[] {
  const problems: string[] = [];
  const queue = ["cli/main.ts"];
  const seen = new Set(queue);
  for (let path = queue.shift(); path !== undefined; path = queue.shift()) {
    if (!copied.includes(path.split("/")[0] ?? "")) problems.push(`${path} is not in the image`);
    for (const { specifier, lazy } of listImports(read(path) ?? "")) {
      const name = specifier
        .split("/")
        .slice(0, specifier.startsWith("@") ? 2 : 1)
        .join("/");
      if (specifier.startsWith(".")) {
        const next = normalize(join(dirname(path), specifier));
        const is_of_checkout = CHECKOUT_ONLY.some((start) => next.startsWith(start));
        if (!seen.has(next) && !is_of_checkout) queue.push(next);
        seen.add(next);
      } else if (!lazy && !specifier.startsWith("node:") && !packages.includes(name)) {
        problems.push(`${path} needs ${name}, which is left out`);
      }
    }
  }
  return problems;
}
