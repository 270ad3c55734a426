/**
 * Checks of where the data lies: ClickHouse and its users, Grafana's data source, the volume of the
 * write-ahead log. Invariant: as in deployment-checks.ts, findings only.
 */
import { READABLE_SYSTEM_TABLES, tablesFor } from "../../clickhouse/readable-tables.ts";
import { listListening, listServices, readEnvironment } from "./deployment.ts";
import type { Deployment } from "./deployment.ts";
import { findNode } from "./xml.ts";
import type { XmlNode } from "./xml.ts";

function listUsers(users: XmlNode): XmlNode[] {
  return (
    findNode(users, "users")?.children.filter((user) => user.attributes["remove"] === undefined) ??
    []
  );
}

/** ClickHouse has the users, passwords, database and ports that the programs are given. */
export function checkUsers(deployment: Deployment): string[] {
  const { services } = deployment.compose;
  const problems: string[] = [];
  if (findNode(deployment.users, "users", "default")?.attributes["remove"] === undefined) {
    problems.push("the user without a password is not removed");
  }
  const users = listUsers(deployment.users);
  for (const user of users) {
    const variable = findNode(user, "password")?.attributes["from_env"] ?? "";
    if (services["clickhouse"]?.environment?.[variable] === undefined) {
      problems.push(`${user.name}: ClickHouse has no ${variable}`);
    }
    const profile = findNode(user, "profile")?.text ?? "";
    if (!findNode(deployment.users, "profiles", profile)) problems.push(`no profile ${profile}`);
    if (!findNode(user, "grants")?.children.length) problems.push(`${user.name} may do everything`);
    for (const { text } of findNode(user, "networks")?.children ?? []) {
      if (/^(::|0\.0\.0\.0)\/0$/.test(text)) problems.push(`${user.name} may come from anywhere`);
    }
  }
  for (const [name, service] of listServices(deployment)) {
    const url = service.environment?.["SPANLEDGER_CLICKHOUSE_URL"];
    if (url === undefined) continue;
    const [, user = "", variable = "", host = "", port = "", database] =
      /^http:\/\/(\w+):\$\{(\w+)[^}]*\}@([\w-]+):(\d+)\/(\w+)$/.exec(url) ?? [];
    const node = users.find((candidate) => candidate.name === user);
    if (findNode(node ?? deployment.users, "password")?.attributes["from_env"] !== variable) {
      problems.push(`${name}: no user ${user} with the password ${variable}`);
    }
    const target = services[host];
    const ports = target === undefined ? [] : listListening(deployment, host, target);
    if (!ports.includes(Number(port))) problems.push(`${name}: nothing listens on ${host}:${port}`);
    if (target?.environment?.["CLICKHOUSE_DB"] !== database)
      problems.push(`no database ${database}`);
  }
  return problems;
}

/** Grafana reads as a user that exists, with its password, and cannot write. */
export function checkDataSource(deployment: Deployment): string[] {
  const { services } = deployment.compose;
  const [source, ...more] = deployment.datasources;
  if (source === undefined || more.length > 0) return ["there is not exactly one data source"];
  const { username, host, port, defaultDatabase } = source.jsonData;
  const problems: string[] = [];
  if (source.uid !== "spanledger-clickhouse") problems.push("the uid has changed");
  if (source.editable !== false) problems.push("the data source can be edited");
  const plugin = services["grafana"]?.environment?.["GF_PLUGINS_PREINSTALL_SYNC"] ?? "";
  if (!plugin.startsWith(`${source.type}@`))
    problems.push(`plugin ${source.type} is not installed`);
  const user = listUsers(deployment.users).find((candidate) => candidate.name === username);
  if (user === undefined) return [...problems, `users.xml has no user ${username}`];
  const profile = findNode(deployment.users, "profiles", findNode(user, "profile")?.text ?? "");
  const readonly = profile && findNode(profile, "readonly")?.text;
  if (readonly !== "1" && readonly !== "2") problems.push(`${username} can write`);
  const grants = findNode(user, "grants")?.children.map(({ text }) => text) ?? [];
  const readable = tablesFor("project", "beneath", "installation");
  const wanted = [
    ...readable.map((table) => `GRANT SELECT ON ${String(defaultDatabase)}.${table}`),
    ...READABLE_SYSTEM_TABLES.map((table) => `GRANT SELECT ON system.${table}`),
  ];
  for (const grant of grants)
    if (!wanted.includes(grant)) problems.push(`not to be read: ${grant}`);
  for (const grant of wanted) if (!grants.includes(grant)) problems.push(`lacks ${grant}`);
  const variable = findNode(user, "password")?.attributes["from_env"] ?? "";
  if (source.secureJsonData["password"] !== `$${variable}`)
    problems.push("another user's password");
  if (services["grafana"]?.environment?.[variable] === undefined)
    problems.push(`Grafana has no ${variable}`);
  const target = services[String(host)];
  const ports = target === undefined ? [] : listListening(deployment, String(host), target);
  if (!ports.includes(Number(port))) problems.push(`nothing listens on ${host}:${port}`);
  return problems;
}

/** The collector keeps its write-ahead log on a volume of its own. */
export function checkWal(deployment: Deployment): string[] {
  const collectors = listServices(deployment).filter(
    ([, { command }]) => command?.[0] === "collector",
  );
  if (collectors.length === 0) return ["there is no collector"];
  return collectors.flatMap(([name, service]) => {
    const directory = readEnvironment(deployment, service)["SPANLEDGER_DATA_DIR"] ?? "";
    const mount = service.volumes?.find((entry) => entry.split(":")[1] === directory);
    const volume = mount?.split(":")[0] ?? "";
    if (!(volume in deployment.compose.volumes))
      return [`${name} loses ${directory} with its container`];
    const made = deployment.dockerfile.some(
      ([word, rest]) =>
        word === "RUN" && new RegExp(`chown node:node.* ${directory}( |$)`).test(rest),
    );
    const sharing = listServices(deployment).filter(([, other]) =>
      other.volumes?.some((entry) => entry.startsWith(`${volume}:`)),
    );
    return [
      ...(made ? [] : [`the image does not give ${directory} to its user`]),
      ...(sharing.length === 1 ? [] : [`${volume} is shared`]),
    ];
  });
}

/** The ClickHouse server starts with its small pools and keeps little for itself. */
export function checkServer({ server, compose }: Deployment): string[] {
  const value = (...path: string[]) => Number(findNode(server, ...path)?.text);
  const slots =
    value("background_pool_size") * value("background_merges_mutations_concurrency_ratio");
  const problems = [
    "lower_max_size_of_merge",
    "execute_mutation",
    "execute_optimize_entire_partition",
  ]
    .map((suffix) => `number_of_free_entries_in_pool_to_${suffix}`)
    .filter((name) => !(value("merge_tree", name) <= slots))
    .map((name) => `${name} is above the ${slots} slots: the server would not start`);
  const limit = /:-(\d+)g\}$/.exec(compose.services["clickhouse"]?.mem_limit ?? "")?.[1];
  const memory = Number(limit) * 1024 ** 3 * value("max_server_memory_usage_to_ram_ratio");
  const caches = server.children.filter(({ name }) => name.endsWith("_cache_size"));
  const total = caches.reduce((sum, { text }) => sum + Number(text), 0);
  if (!(total <= memory / 2)) problems.push(`caches of ${total} bytes in ${memory}`);
  for (const name of [
    "trace_log",
    "metric_log",
    "asynchronous_metric_log",
    "text_log",
    "part_log",
  ]) {
    const log = findNode(server, name);
    if (log?.attributes["remove"] === undefined) problems.push(`system.${name} is kept`);
  }
  if (!findNode(server, "query_log", "ttl")) problems.push("system.query_log is kept for ever");
  return problems;
}
