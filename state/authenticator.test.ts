/** Who a request is from: the table of research/reliability.md 3.5 A01 to A07, and what is decided beside it. */
import { performance } from "node:perf_hooks";
import { beforeEach, describe, expect, test } from "vitest";
import { AUTH_PROBLEMS, can } from "../schemas/access.ts";
import { PermanentError, RetryableError } from "../schemas/errors.ts";
import { makeKey } from "../schemas/keys.ts";
import { DEFAULT_SENDER } from "../schemas/sender.ts";
import { Authenticator, type AuthenticatorOptions, roleOfMember } from "./authenticator.ts";
import {
  addKey,
  addMember,
  addProject,
  type Laboratory,
  makeLaboratory,
  NOW_MS,
} from "./fixture.ts";
import { revokeKey } from "./keys.ts";
import type { StateStore } from "./store.ts";

let laboratory: Laboratory;
let state: StateStore;

beforeEach(async () => {
  laboratory = makeLaboratory();
  state = laboratory.openStore();
  await state.start();
  await addProject(state, "shop", "acme");
  await addProject(state, "blog", "acme");
  await addProject(state, "other", "rival");
});

function open(changes: Partial<AuthenticatorOptions> = {}): Authenticator {
  return new Authenticator({
    state,
    now_ms: () => laboratory.now_ms,
    api_key: null,
    allows_keyless: true,
    max_stale_ms: 60_000,
    ...changes,
  });
}

const bearer = (key: string) => ({ authorization: `Bearer ${key}` });

/** The problem of a request, or "none". */
function problemOf(authenticator: Authenticator, headers: Record<string, string>): string {
  const identity = authenticator.identify(headers);
  return "problem" in identity ? identity.problem : "none";
}

/** Status and code that a sender gets. */
function refusalOf(authenticator: Authenticator, headers: Record<string, string>) {
  try {
    return authenticator.findSender(headers);
  } catch (error) {
    if (error instanceof PermanentError) return { permanent: error.code, message: error.message };
    if (error instanceof RetryableError) return { retryable: error.code, message: error.message };
    throw error;
  }
}

describe("without a key stored or set", () => {
  test("loopback is open: every request is the operator's, whatever stands in place of a key", () => {
    for (const headers of [{}, bearer("anything"), { "x-api-key": "x" }, bearer(makeKey().key)]) {
      expect(open().identify(headers)).toMatchObject({ actor: { kind: "operator" } });
      expect(open().findSender(headers)).toEqual(DEFAULT_SENDER);
    }
  });

  test("beyond loopback nobody is let in", () => {
    expect(problemOf(open({ allows_keyless: false }), {})).toBe("missing");
  });

  test("the first stored key closes it, and revoking the last one opens it", async () => {
    const authenticator = open();
    const { key, key_id } = await addKey(state);
    expect(authenticator.isLocked()).toBe(true);
    expect(problemOf(authenticator, {})).toBe("missing");
    expect(problemOf(authenticator, bearer(key))).toBe("none");
    await revokeKey(state, state.find("key", key_id)!, NOW_MS);
    expect(authenticator.isLocked()).toBe(false);
    expect(problemOf(authenticator, {})).toBe("none");
    expect(problemOf(authenticator, bearer(key))).toBe("revoked");
  });

  test("a key that has expired goes on closing it: an end in the night opens no door", async () => {
    await addKey(state, { expires_at: "2026-01-02T00:00:00.000Z" });
    expect(problemOf(open(), {})).toBe("missing");
  });
});

describe("the key of the settings", () => {
  const api_key = "schlüssel-ünïcode-✓-0123456789";

  test("is the operator's, with all scopes and the default project", () => {
    const authenticator = open({ api_key });
    const basic = `Basic ${Buffer.from(`any:${api_key}`).toString("base64")}`;
    for (const headers of [bearer(api_key), { "x-api-key": api_key }, { authorization: basic }]) {
      expect(authenticator.identify(headers)).toMatchObject({
        actor: { kind: "operator", scopes: ["ingest", "read", "admin"] },
      });
      expect(authenticator.findSender(headers)).toEqual(DEFAULT_SENDER);
    }
  });

  test("A01 nothing else opens, and a good second header does not save a wrong first one", () => {
    const authenticator = open({ api_key });
    expect(problemOf(authenticator, {})).toBe("missing");
    for (const key of [
      "x",
      api_key.slice(0, -1),
      `${api_key}x`,
      "schl?ssel-?n?code-?-0123456789",
    ]) {
      expect(problemOf(authenticator, { "x-api-key": key })).toBe("malformed");
    }
    expect(problemOf(authenticator, { ...bearer("wrong"), "x-api-key": api_key })).toBe(
      "malformed",
    );
  });

  test("stored keys hold beside it", async () => {
    const { key } = await addKey(state);
    expect(open({ api_key }).findSender(bearer(key)).project_id).toBe("shop");
  });
});

describe("A01 keys that are none", () => {
  test("are told without a lookup, all in the same shape", async () => {
    const { key } = await addKey(state);
    let lookups = 0;
    const watched = new Proxy(state, {
      get(target, name) {
        if (name === "find") lookups += 1;
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
    const authenticator = open({ state: watched });
    authenticator.hasKeys();
    lookups = 0;
    const typo = `${key.slice(0, 20)}${key[20] === "a" ? "b" : "a"}${key.slice(21)}`;
    for (const wrong of ["sl_x", typo, key.slice(0, -1), key.toLowerCase()]) {
      const identity = authenticator.identify(bearer(wrong));
      expect(identity).toEqual({ problem: "malformed", message: expect.any(String) });
      expect(JSON.stringify(identity)).not.toContain(wrong);
    }
    // Whether the door is open at all is asked of the one key that is known to close it.
    expect(lookups).toBeLessThanOrEqual(4);
    expect(AUTH_PROBLEMS.malformed).toEqual(AUTH_PROBLEMS.unknown);
    expect(AUTH_PROBLEMS.malformed).toEqual(AUTH_PROBLEMS.missing);
  });
});

describe("A03 timing", () => {
  test("an unknown id takes as long as a wrong secret of a known one", async () => {
    const { key_id } = await addKey(state);
    const known: string[] = [];
    // A key with the id of another and a right checksum: only its digest tells.
    const seed = new TextEncoder().encode(key_id);
    const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for (let index = 0; index < 64; index += 1) {
      let calls = 0;
      known.push(
        makeKey((size) => {
          calls += 1;
          if (calls === 1)
            return Uint8Array.from(seed, (code) => digits.indexOf(String.fromCharCode(code)));
          return crypto.getRandomValues(new Uint8Array(size));
        }).key,
      );
    }
    expect(known[0]?.split("_")[1]).toBe(key_id);
    const unknown = Array.from({ length: 64 }, () => makeKey().key);
    const authenticator = open();
    const times = (keys: readonly string[], index: number) => {
      const headers = bearer(keys[index % keys.length] ?? "");
      const started = performance.now();
      for (let turn = 0; turn < 20; turn += 1) authenticator.identify(headers);
      return performance.now() - started;
    };
    const a: number[] = [];
    const b: number[] = [];
    for (let index = 0; index < 3_000; index += 1) {
      a.push(times(known, index));
      b.push(times(unknown, index));
    }
    const median = (list: number[]) => list.slice(500).sort((x, y) => x - y)[1_250] ?? 0;
    // A lookup that compared text would differ by more; noise of a busy machine does not reach a third.
    expect(median(a) / median(b)).toBeGreaterThan(0.66);
    expect(median(a) / median(b)).toBeLessThan(1.5);
  });
});

describe("A04 revoked keys", () => {
  test("are refused at once where they were revoked, and elsewhere with the next look", async () => {
    const { key, key_id } = await addKey(state);
    const second = laboratory.openStore();
    await second.start();
    const elsewhere = open({ state: second });
    expect(problemOf(elsewhere, bearer(key))).toBe("none");
    await revokeKey(state, state.find("key", key_id)!, NOW_MS);
    expect(problemOf(open({ allows_keyless: false }), bearer(key))).toBe("revoked");
    await second.refresh();
    expect(problemOf(elsewhere, bearer(key))).toBe("revoked");
    expect(refusalOf(elsewhere, bearer(key))).toMatchObject({ permanent: "key_revoked" });
  });
});

describe("A05 keys with an end", () => {
  test.each([
    [-61_000, "expired"],
    [-59_000, "none"],
    [1_000, "none"],
  ])("%i ms from their end they are %s", async (left_ms, problem) => {
    const expires_at = new Date(NOW_MS + left_ms).toISOString();
    const { key } = await addKey(state, { expires_at });
    expect(problemOf(open(), bearer(key))).toBe(problem);
    if (problem === "expired") {
      expect(refusalOf(open(), bearer(key))).toMatchObject({ permanent: "key_expired" });
    } else {
      expect(open().identify(bearer(key))).toMatchObject({ expires_at_ms: NOW_MS + left_ms });
    }
  });
});

describe("A06 with the key store away", () => {
  test("known keys go on to hold for as long as it takes, unknown ones are 503 and never 401", async () => {
    const { key } = await addKey(state);
    await state.refresh();
    const unknown = makeKey().key;
    laboratory.is_away = true;
    laboratory.now_ms += 59_000;
    expect(problemOf(open(), bearer(unknown))).toBe("unknown");
    laboratory.now_ms += 2_000;
    expect(problemOf(open(), bearer(unknown))).toBe("unavailable");
    expect(refusalOf(open(), bearer(unknown))).toMatchObject({ retryable: "keys_unavailable" });
    laboratory.now_ms += 6 * 3_600_000;
    expect(problemOf(open(), bearer(key))).toBe("none");
    // What is none stays none: no store would know it.
    expect(problemOf(open(), bearer("sl_x"))).toBe("malformed");
    expect(problemOf(open(), {})).toBe("missing");
    laboratory.is_away = false;
    await state.refresh();
    expect(problemOf(open(), bearer(unknown))).toBe("unknown");
  });

  test("at the first start with nothing known all is 503, but loopback takes spans without a key", async () => {
    laboratory.is_away = true;
    const blank = laboratory.openStore();
    await blank.start();
    const authenticator = open({ state: blank });
    expect(problemOf(authenticator, bearer(makeKey().key))).toBe("unavailable");
    expect(authenticator.findSender({})).toEqual(DEFAULT_SENDER);
    // There may be keys: whoever asks without one is not shown what they guard.
    expect(problemOf(authenticator, {})).toBe("unavailable");
    expect(problemOf(authenticator, bearer("anything"))).toBe("unavailable");
    expect(problemOf(open({ state: blank, api_key: "x".repeat(24) }), {})).toBe("missing");
    expect(problemOf(open({ state: blank, allows_keyless: false }), {})).toBe("missing");
    await blank.stop();
  });
});

describe("A07 scopes and projects on ingest", () => {
  test("a key without the scope ingest is told which one it lacks", async () => {
    for (const scopes of [["read"], ["admin"], ["read", "admin"]] as const) {
      const { key } = await addKey(state, { scopes: [...scopes] });
      expect(refusalOf(open(), bearer(key))).toEqual({
        permanent: "forbidden",
        message: expect.stringContaining("ingest"),
      });
    }
  });

  test("an ingest key may not read, a reading key may", async () => {
    const object = { organization_id: "acme", project_id: "shop" };
    for (const [scopes, may_read] of [
      [["ingest"], false],
      [["read"], true],
      [["admin"], true],
    ] as const) {
      const { key } = await addKey(state, { scopes: [...scopes] });
      const identity = open().identify(bearer(key));
      if (!("actor" in identity)) throw new Error(identity.problem);
      const verdict = can(identity.actor, "usage:read", object);
      expect(verdict.is_allowed).toBe(may_read);
      if (!verdict.is_allowed) expect(verdict.reason).toContain("read");
    }
  });

  test("the project is that of the key, and a header cannot name another", async () => {
    const { key, key_id } = await addKey(state, { allowed_service_name: "checkout" });
    const sender = { project_id: "shop", key_id, allowed_service_name: "checkout" };
    expect(open().findSender(bearer(key))).toEqual(sender);
    expect(open().findSender({ ...bearer(key), "x-spanledger-project": "shop" })).toEqual(sender);
    const answers = ["blog", "other", "nowhere"].map((name) =>
      refusalOf(open(), { ...bearer(key), "x-spanledger-project": name }),
    );
    expect(answers[0]).toMatchObject({ permanent: "forbidden" });
    // Whether a project is there is not told to who may not see it.
    expect(answers[1]).toEqual(answers[0]);
    expect(answers[2]).toEqual(answers[0]);
  });

  test("a key of an organization names one of its projects, and learns nothing of others", async () => {
    const { key } = await addKey(state, { project_id: null });
    const send = (name?: string) =>
      refusalOf(open(), {
        ...bearer(key),
        ...(name === undefined ? {} : { "x-spanledger-project": name }),
      });
    expect(send("blog")).toMatchObject({ project_id: "blog" });
    expect(send()).toMatchObject({
      permanent: "project_required",
      message: expect.stringContaining("x-spanledger-project"),
    });
    expect(send("other")).toMatchObject({ permanent: "project_required" });
    expect(send("other")).toEqual(send("nowhere"));
  });

  test("a member's key goes with the member, and needs a role in the project", async () => {
    const member_id = await addMember(state, {
      is_project_only: true,
      project_roles: [{ project_id: "blog", role: "viewer" }],
    });
    const { key } = await addKey(state, { project_id: null, member_id });
    const send = (name: string) =>
      refusalOf(open(), { ...bearer(key), "x-spanledger-project": name });
    expect(send("blog")).toMatchObject({ project_id: "blog" });
    expect(send("shop")).toMatchObject({ permanent: "project_required" });
    await state.remove("member", member_id);
    expect(send("blog")).toMatchObject({ permanent: "project_required" });
  });
});

describe("roles of members", () => {
  const shop = { organization_id: "acme", project_id: "shop" };

  test("the higher of organization and project holds, and none without either", async () => {
    const add = (changes: object) => addMember(state, changes);
    const own = [{ project_id: "shop", role: "editor" as const }];
    await add({ member_id: "m1", role: "viewer", project_roles: own });
    await add({ member_id: "m2", role: "owner", project_roles: own });
    await add({ member_id: "m3", role: "owner", project_roles: own, is_project_only: true });
    const roles = (object: typeof shop | { organization_id: string; project_id: null }) =>
      ["m1", "m2", "m3", "gone"].map((member_id) => roleOfMember(state, member_id, object));
    expect(roles(shop)).toEqual(["editor", "owner", "editor", null]);
    expect(roles({ organization_id: "acme", project_id: "blog" })).toEqual([
      "viewer",
      "owner",
      null,
      null,
    ]);
    expect(roles({ organization_id: "acme", project_id: null })).toEqual([
      "viewer",
      "owner",
      null,
      null,
    ]);
    expect(roles({ organization_id: "rival", project_id: "other" })).toEqual([
      null,
      null,
      null,
      null,
    ]);
  });
});
