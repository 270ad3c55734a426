/**
 * Writes the dashboards as the JSON that Grafana is provisioned with: `npm run grafana`. With `--check` it
 * writes nothing and fails when a file is not what the source gives.
 *
 * Invariant: the folder of JSON has one file for each registered dashboard and no other.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { argv, exit, stderr } from "node:process";
import { isAlertFileFresh, writeAlerts } from "./alerts/file.ts";
import { renderDashboard, UIDS } from "./dashboard.ts";
import { DASHBOARDS } from "./registry.ts";

/** Where the files lie. */
export const JSON_FOLDER = new URL("./dashboards/json/", import.meta.url);

/** What the files have to be, by their names. */
export function renderFiles(): ReadonlyMap<string, string> {
  return new Map(DASHBOARDS.map((spec) => [`${UIDS[spec.name]}.json`, renderDashboard(spec)]));
}

/** Names of files that are missing, too many or not what the source gives. */
export function findDrift(folder: URL = JSON_FOLDER): string[] {
  const wanted = renderFiles();
  const found = readdirSync(folder).filter((name) => name.endsWith(".json"));
  const names = [...new Set([...wanted.keys(), ...found])].sort();
  return names.filter(
    (name) =>
      !found.includes(name) || readFileSync(new URL(name, folder), "utf8") !== wanted.get(name),
  );
}

/** Makes the folder what the source gives. */
export function writeFiles(folder: URL = JSON_FOLDER): void {
  mkdirSync(folder, { recursive: true });
  const wanted = renderFiles();
  for (const name of readdirSync(folder)) if (!wanted.has(name)) rmSync(new URL(name, folder));
  for (const [name, text] of wanted) writeFileSync(new URL(name, folder), text);
}

if (import.meta.main) {
  if (argv.includes("--check")) {
    const drift = [...findDrift(), ...(isAlertFileFresh() ? [] : ["rules.yaml"])];
    if (drift.length > 0) {
      stderr.write(`Run \`npm run grafana\`: not as the source gives it: ${drift.join(", ")}\n`);
      exit(1);
    }
  } else {
    writeFiles();
    writeAlerts();
  }
}
