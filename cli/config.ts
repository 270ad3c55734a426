/**
 * The only reader of the environment. Settings are parsed once, at start; every problem is printed
 * together and the process ends, rather than going on with something else than was meant.
 */
import { readFileSync } from "node:fs";
import { type Address, parseSettings, type Settings } from "../schemas/settings.ts";
import { PermanentError } from "../schemas/errors.ts";

/** Version of this package. */
export const VERSION: string = (
  JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
    version: string;
  }
).version;

/** The environment of the process, for what passes it on. */
export const ENVIRONMENT: Readonly<Record<string, string | undefined>> = process.env;

/** The settings of this process. Throws PermanentError("bad_settings") naming every problem. */
export function readSettings(): Settings {
  const result = parseSettings(ENVIRONMENT);
  if ("problems" in result) {
    const lines = result.problems.map((problem) => `  ${problem}`);
    throw new PermanentError(
      "bad_settings",
      ["Settings that cannot be used:", ...lines].join("\n"),
    );
  }
  return result.settings;
}

function isLoopback({ host }: Address): boolean {
  return host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}

/** Refuses to open a door without a lock: other addresses than loopback need a key. */
export function requireKeyBeyondLoopback(
  settings: Settings,
  names: readonly ("SPANLEDGER_OTLP_HTTP" | "SPANLEDGER_HTTP" | "SPANLEDGER_MONITOR")[],
): void {
  if (settings.SPANLEDGER_API_KEY !== null) return;
  const open = names.filter((name) => !isLoopback(settings[name]));
  if (open.length === 0) return;
  throw new PermanentError(
    "no_key",
    `${open.join(" and ")} would listen beyond this machine without a key. Set ` +
      "SPANLEDGER_API_KEY to at least 24 random characters, or listen on 127.0.0.1.",
  );
}
