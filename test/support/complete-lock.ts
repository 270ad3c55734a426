/**
 * Completes package-lock.json: run after `npm install` has changed it.
 *
 * Some packages bring a binary for each platform as optional dependencies. A registry that lacks one
 * of them (mirrors do) makes npm leave it out of the lock, and `npm ci` then refuses the lock on every
 * platform. An entry with version and platform is enough for npm to skip or fetch it.
 */
import { readFileSync, writeFileSync } from "node:fs";

interface LockEntry {
  version?: string;
  dev?: boolean;
  optional?: boolean;
  cpu?: string[];
  os?: string[];
  libc?: string[];
  optionalDependencies?: Record<string, string>;
}

interface Lock {
  packages: Record<string, LockEntry>;
}

const LOCK = new URL("../../package-lock.json", import.meta.url);

const SYSTEMS = ["darwin", "linux", "win32", "android", "freebsd", "openharmony", "sunos", "aix"];
const CPUS = ["arm64", "x64", "riscv64", "ppc64", "s390x", "loong64", "ia32", "arm"];

/** Entries that the lock should have and does not. */
export function missingEntries(lock: Lock): [string, LockEntry][] {
  const missing = new Map<string, LockEntry>();
  for (const [parent, entry] of Object.entries(lock.packages)) {
    for (const [name, range] of Object.entries(entry.optionalDependencies ?? {})) {
      const nested = `${parent}/node_modules/${name}`;
      const key = `node_modules/${name}`;
      if (key in lock.packages || nested in lock.packages || missing.has(key)) continue;
      missing.set(key, describe(name, range, entry));
    }
  }
  return [...missing];
}

/** The platform is in the name: @scope/binding-linux-x64-musl. */
function describe(name: string, range: string, parent: LockEntry): LockEntry {
  const words = name.split(/[-/]/);
  const system = SYSTEMS.find((word) => words.includes(word));
  const cpu = CPUS.find((word) => words.includes(word));
  const libc = words.some((word) => word.startsWith("musl"))
    ? ["musl"]
    : words.some((word) => word.startsWith("gnu"))
      ? ["glibc"]
      : undefined;
  return {
    version: range.replace(/^[~^]/, ""),
    ...(cpu === undefined ? {} : { cpu: [cpu] }),
    ...(parent.dev === true ? { dev: true } : {}),
    ...(libc === undefined ? {} : { libc }),
    optional: true,
    ...(system === undefined ? {} : { os: [system] }),
  };
}

/** The lock of this repository. */
export function readLock(): Lock {
  return JSON.parse(readFileSync(LOCK, "utf8")) as Lock;
}

if (process.argv[1] === import.meta.filename) {
  const lock = readLock();
  const missing = missingEntries(lock);
  const packages = [...Object.entries(lock.packages), ...missing];
  lock.packages = Object.fromEntries(packages.sort(([a], [b]) => (a < b ? -1 : 1)));
  writeFileSync(LOCK, `${JSON.stringify(lock, null, 2)}\n`);
  process.stdout.write(`added ${missing.length} entries\n`);
}
