/**
 * Keys and small state of a program: read, kept in memory and on disk, and asked who a request is from.
 *
 * Invariant: a program that listens beyond this machine lets nobody in without a key, whatever is known of
 * keys; it ends when it learns that there is none.
 */
import { join } from "node:path";
import type { Engine } from "../clickhouse/engine.ts";
import { RetryableError } from "../schemas/errors.ts";
import type { Log } from "../schemas/log.ts";
import type { Settings } from "../schemas/settings.ts";
import { Authenticator } from "../state/authenticator.ts";
import { KeyUse } from "../state/key-use.ts";
import { snapshotAt } from "../state/snapshot.ts";
import { StateStore } from "../state/store.ts";
import { type Door, keyMissing, listOpenDoors } from "./config.ts";

/** What a program knows of who may use it. */
export interface Access {
  readonly state: StateStore;
  readonly authenticator: Authenticator;
  /** Stores when keys were used, and stops reading. */
  stop(): Promise<void>;
}

export interface AccessOptions {
  readonly engine: Engine;
  readonly settings: Settings;
  readonly log: Log;
  /** Where the program listens. */
  readonly doors: readonly Door[];
  /** Ends the program. */
  readonly fail: (error: Error) => void;
}

/** The file that keys and small state are kept in while ClickHouse is away. */
const SNAPSHOT_FILE = "state.json";
/** Pause between looks for what others wrote, ms: a revoked key holds no longer than twice this. */
const REFRESH_MS = 2_000;
/** The same of the embedded engine, to which no other process writes. */
const EMBEDDED_REFRESH_MS = 15_000;
/** Longest a server is waited for, ms: it is asked again, and what is known goes on to hold. */
const READ_TIMEOUT_MS = 2_000;
/** Least time between two lines that say that keys cannot be read, ms. */
const WARN_INTERVAL_MS = 60_000;
/** Longest the end of a program waits to store when keys were used, ms. */
const STOP_WAIT_MS = 1_000;

/**
 * Reads keys and small state; resolves when they are known, or when ClickHouse is away. Throws
 * PermanentError("no_key") when a door beyond this machine would have no lock.
 */
export async function openAccess(options: AccessOptions): Promise<Access> {
  const { engine, settings, log, doors, fail } = options;
  const is_server = engine.kind === "server";
  const state = new StateStore({
    engine: is_server ? hurry(engine) : engine,
    log: warnRarely(log),
    now_ms: Date.now,
    refresh_ms: is_server ? REFRESH_MS : EMBEDDED_REFRESH_MS,
    snapshot: snapshotAt(join(settings.SPANLEDGER_DATA_DIR, SNAPSHOT_FILE)),
  });
  const use = new KeyUse({ state, log, now_ms: Date.now });
  const open_doors = listOpenDoors(settings, doors);
  const authenticator = new Authenticator({
    state,
    now_ms: Date.now,
    api_key: settings.SPANLEDGER_API_KEY,
    allows_keyless: open_doors.length === 0,
    max_stale_ms: settings.SPANLEDGER_KEYS_MAX_STALE_S * 1000,
    noteUse: use.note,
  });
  await state.start();
  const stop = async () => {
    await Promise.race([use.stop(), waitUnref(STOP_WAIT_MS)]);
    await Promise.race([state.stop(), waitUnref(STOP_WAIT_MS)]);
  };
  const lacksLock = () =>
    open_doors.length > 0 && settings.SPANLEDGER_API_KEY === null && !authenticator.hasKeys();
  if (state.age_ms !== null && lacksLock()) {
    await stop();
    throw keyMissing(open_doors);
  }
  if (state.age_ms === null && lacksLock()) {
    log.warn({}, "keys cannot be read yet: nobody is let in until they are");
    const forget = state.onChange(() => {
      forget();
      if (lacksLock()) fail(keyMissing(open_doors));
    });
  }
  use.start();
  return { state, authenticator, stop };
}

/** A log that says at most once a minute that ClickHouse is away: it is asked every second. */
function warnRarely(log: Log): Log {
  let told_ms = -Infinity;
  return {
    info: (fields, message) => log.info(fields, message),
    error: (fields, message) => log.error(fields, message),
    warn(fields, message) {
      const now_ms = performance.now();
      if (now_ms - told_ms < WARN_INTERVAL_MS) return;
      told_ms = now_ms;
      log.warn(fields, message);
    },
  };
}

/** An engine whose reads fail when they take long: a server that hangs must not hold keys up. */
function hurry(engine: Engine): Engine {
  return new Proxy(engine, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== "function") return value;
      const run = value.bind(target) as (...given: unknown[]) => Promise<unknown>;
      if (name !== "query") return run;
      return (...given: unknown[]) => Promise.race([run(...given), failAfter(READ_TIMEOUT_MS)]);
    },
  });
}

function failAfter(wait_ms: number): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  setTimeout(() => {
    reject(
      new RetryableError("clickhouse_unavailable", "The ClickHouse server is slow to answer."),
    );
  }, wait_ms).unref();
  promise.catch(() => {});
  return promise;
}

function waitUnref(wait_ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, wait_ms).unref();
  });
}
