/**
 * Asks the Grafana of docker-compose.yml for every panel, for people who have Docker:
 * `node grafana/smoke.ts [--url http://127.0.0.1:3000] [--env-file .env] [--user admin]`.
 * Ends with 1 when something is not well.
 *
 * Invariant: the password comes from the file that Compose has it from, and is never printed.
 */
import { readFileSync } from "node:fs";
import { argv, exit, stderr, stdout } from "node:process";
import { parseArgs } from "node:util";
import { GrafanaClient, smokeGrafana } from "./smoke-checks.ts";

const { values } = parseArgs({
  args: argv.slice(2),
  options: {
    url: { type: "string", default: "http://127.0.0.1:3000" },
    "env-file": { type: "string", default: ".env" },
    user: { type: "string", default: "admin" },
  },
});

const NAME = "GRAFANA_ADMIN_PASSWORD=";
const password = readFileSync(values["env-file"], "utf8")
  .split("\n")
  .find((line) => line.startsWith(NAME))
  ?.slice(NAME.length)
  .trim();
if (password === undefined || password === "") {
  stderr.write(`${values["env-file"]} has no GRAFANA_ADMIN_PASSWORD: see .env.example\n`);
  exit(1);
}
const client = new GrafanaClient({
  url: values.url.replace(/\/+$/, ""),
  user: values.user,
  password,
});
const findings = await smokeGrafana(client, ({ name, problem, note }) => {
  stdout.write(problem === null ? `ok    ${name}: ${note}\n` : `FAIL  ${name}: ${problem}\n`);
});
const failed = findings.filter(({ problem }) => problem !== null).length;
stdout.write(`${findings.length - failed} of ${findings.length} are well\n`);
exit(failed === 0 ? 0 : 1);
