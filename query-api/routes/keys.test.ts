/** Keys over the API: made, shown once, replaced, revoked, and never more than their maker has. */
import { beforeEach, describe, expect, test } from "vitest";
import type { Engine } from "../../clickhouse/engine.ts";
import { type Actor, makeOperator } from "../../schemas/access.ts";
import { KeysAnswer, KeyView, NewKeyAnswer } from "../../schemas/api-keys.ts";
import { Authenticator, makeActor } from "../../state/authenticator.ts";
import { addProjects, makeTestApi, readStrictly, type TestApi } from "../../test/support/api.ts";

const NOW_MS = Date.UTC(2026, 9, 27);
/** No route of keys reads the ledger. */
const ENGINE = { kind: "embedded" } as unknown as Engine;

let api: TestApi;
let actor: Actor;
let authenticator: Authenticator;

beforeEach(async () => {
  actor = makeOperator();
  api = makeTestApi(ENGINE, {
    authenticate: () => ({ actor, expires_at_ms: null }),
    now_ms: () => NOW_MS,
  });
  authenticator = new Authenticator({
    state: api.state,
    now_ms: () => NOW_MS,
    api_key: null,
    allows_keyless: true,
    max_stale_ms: 60_000,
  });
  await addProjects(api.state, ["acme", "rival"]);
});

async function ask(method: string, path: string, body?: unknown) {
  const headers = { "content-type": "application/json" };
  return api.ask(path, null, {
    method,
    headers,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

async function create(body: object = {}, path = "/v1/keys?project=acme"): Promise<NewKeyAnswer> {
  const answer = await ask("POST", path, { name: "ci", scopes: ["ingest"], ...body });
  expect(answer.status, answer.text).toBe(201);
  return readStrictly(NewKeyAnswer, answer.json);
}

/** A key that acts from now on. */
async function actAs(body: object, path?: string): Promise<NewKeyAnswer> {
  const made = await create(body, path);
  actor = makeActor(api.state.find("key", made.key_id)!.body, api.state);
  return made;
}

async function addMember(role: string): Promise<string> {
  const body = { name: "Ada", email: `${role}@acme.example`, role };
  const answer = await ask("POST", "/v1/orgs/acme/members", body);
  expect(answer.status, answer.text).toBe(201);
  return (answer.json as { member_id: string }).member_id;
}

describe("a key that is made", () => {
  test("opens, and is shown in that answer and nowhere else", async () => {
    const made = await create({ allowed_service_name: "checkout" });
    expect(authenticator.findSender({ "x-api-key": made.key })).toEqual({
      project_id: "acme",
      key_id: made.key_id,
      allowed_service_name: "checkout",
    });
    const list = await ask("GET", "/v1/keys?project=acme");
    const one = await ask("GET", `/v1/keys/${made.key_id}?project=acme`);
    const { key, ...shown } = made;
    expect(readStrictly(KeyView, one.json)).toEqual(shown);
    expect(readStrictly(KeysAnswer, list.json)).toEqual({ keys: [shown], next_cursor: null });
    const secret = key.slice(14, 46);
    const stored = api.state.find("key", made.key_id)?.body.sha256 ?? "";
    for (const text of [list.text, one.text, JSON.stringify(api.audited)]) {
      expect(text).not.toContain(secret);
      expect(text).not.toContain(stored);
    }
    expect(made).toMatchObject({
      organization_id: "acme",
      project_id: "acme",
      created_by: "operator",
      status: "active",
      last_used_at: null,
    });
  });

  test("of an organization is of no project, and is listed with those of its projects", async () => {
    const own = await create({}, "/v1/orgs/acme/keys");
    const of_project = await create();
    expect(own.project_id).toBeNull();
    const { keys } = readStrictly(KeysAnswer, (await ask("GET", "/v1/orgs/acme/keys")).json);
    expect(keys.map(({ key_id }) => key_id).sort()).toEqual([own.key_id, of_project.key_id].sort());
    const project = readStrictly(KeysAnswer, (await ask("GET", "/v1/keys?project=acme")).json);
    expect(project.keys.map(({ key_id }) => key_id)).toEqual([of_project.key_id]);
  });

  test("leaves a row in the audit log, with who and what and without the key", async () => {
    const { key_id } = await create({ expires_at: "2027-01-01T00:00:00Z" });
    expect(api.audited).toMatchObject([
      {
        action: "keys:manage",
        object_kind: "key",
        object_id: key_id,
        outcome: "done",
        organization_id: "acme",
        project_id: "acme",
        detail: { created: { name: "ci", scopes: ["ingest"], expires_at: "2027-01-01T00:00:00Z" } },
      },
    ]);
  });

  test.each([
    [{ scopes: [] }, "scopes"],
    [{ scopes: ["ingest", "ingest"] }, "scopes"],
    [{ scopes: ["root"] }, "scopes.0"],
    [{ name: "" }, "name"],
    [{ expires_at: "2026-10-26T00:00:00Z" }, "expires_at"],
    [{ expires_at: "soon" }, "expires_at"],
    [{ member_id: "nobody" }, "member_id"],
    // A27: whose it is and what it is are not for the body to say.
    [{ organization_id: "rival" }, "organization_id"],
    [{ project_id: "rival" }, "project_id"],
    [{ sha256: "0".repeat(64) }, "sha256"],
    [{ key_id: "mine" }, "key_id"],
  ])("A27 with %j is refused, naming the field", async (body, path) => {
    const wrong = { name: "ci", scopes: ["ingest"], ...body };
    const answer = await ask("POST", "/v1/keys?project=acme", wrong);
    expect(answer.status).toBe(400);
    expect(answer.json).toMatchObject({ error: { details: [{ path }] } });
    expect(api.state.list("key")).toEqual([]);
  });
});

describe("A26 no key has more than its maker", () => {
  test("scopes that the maker lacks are refused with 403 naming them", async () => {
    await actAs({ scopes: ["admin"] });
    const answer = await ask("POST", "/v1/keys", { name: "x", scopes: ["ingest"] });
    expect(answer.status).toBe(403);
    expect(answer.text).toContain("scope ingest");
    expect((await ask("POST", "/v1/keys", { name: "x", scopes: ["read"] })).status).toBe(201);
  });

  test("a key of a project makes none of the organization, and none of another project", async () => {
    await actAs({ scopes: ["admin", "ingest"] });
    const body = { name: "x", scopes: ["ingest"] };
    expect((await ask("POST", "/v1/orgs/acme/keys", body)).status).toBe(404);
    expect((await ask("POST", "/v1/keys?project=rival", body)).status).toBe(404);
    expect((await ask("POST", "/v1/orgs/rival/keys", body)).status).toBe(404);
  });

  test("members who are no owners make none, and a reading or ingest key neither", async () => {
    const org = "/v1/orgs/acme/keys";
    for (const role of ["viewer", "editor"]) {
      actor = makeOperator();
      const member_id = await addMember(role);
      await actAs({ scopes: ["ingest", "read", "admin"], member_id }, org);
      expect((await ask("POST", org, { name: "x", scopes: ["read"] })).status).toBe(403);
      expect((await ask("GET", org)).status).toBe(403);
    }
    for (const scopes of [["read"], ["ingest"]]) {
      actor = makeOperator();
      await actAs({ scopes });
      expect((await ask("GET", "/v1/keys")).status).toBe(403);
    }
  });

  test("rotating a key gives no more than making one", async () => {
    const strong = await create({ scopes: ["ingest", "read", "admin"] });
    await actAs({ scopes: ["admin"] });
    const answer = await ask("POST", `/v1/keys/${strong.key_id}/rotate`, {});
    expect(answer.status).toBe(403);
    expect(api.state.find("key", strong.key_id)?.body.replaced_by).toBeNull();
  });
});

describe("A08 keys of others", () => {
  test("are as none, for reading, replacing and revoking", async () => {
    const foreign = await create({}, "/v1/keys?project=rival");
    // Of the same organization, and of no business of the project.
    const above = await create({}, "/v1/orgs/acme/keys");
    const project = { project_id: "second", name: "second" };
    expect((await ask("POST", "/v1/projects?organization=acme", project)).status).toBe(201);
    const beside = await create({}, "/v1/keys?project=second");
    await actAs({ scopes: ["admin", "ingest", "read"] });
    for (const id of [foreign.key_id, above.key_id, beside.key_id, "AAAAAAAAAA"]) {
      const answers = [
        await ask("GET", `/v1/keys/${id}`),
        await ask("POST", `/v1/keys/${id}/rotate`, {}),
        await ask("DELETE", `/v1/keys/${id}`),
      ];
      expect(answers.map(({ status }) => status)).toEqual([404, 404, 404]);
      expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
    }
    expect(api.state.find("key", foreign.key_id)?.body.revoked_at).toBeNull();
    expect((await ask("GET", "/v1/keys")).text).not.toContain(foreign.key_id);
  });
});

describe("a rotation", () => {
  test("gives a key like it; both hold for a day unless told otherwise", async () => {
    const old = await create({ expires_at: "2027-10-27T00:00:00Z" });
    const path = `/v1/keys/${old.key_id}/rotate?project=acme`;
    const answer = await ask("POST", path, {});
    expect(answer.status).toBe(201);
    const made = readStrictly(NewKeyAnswer, answer.json);
    for (const key of [old.key, made.key]) {
      expect(authenticator.findSender({ "x-api-key": key }).project_id).toBe("acme");
    }
    expect(api.state.find("key", old.key_id)?.body).toMatchObject({
      expires_at: "2026-10-28T00:00:00.000Z",
      replaced_by: made.key_id,
    });
    // Made to live a year, it lives a year again.
    expect(made.expires_at).toBe("2027-10-27T00:00:00.000Z");
    const second = readStrictly(
      NewKeyAnswer,
      (
        await ask("POST", `/v1/keys/${made.key_id}/rotate?project=acme`, {
          overlap_s: 0,
          expires_at: null,
        })
      ).json,
    );
    expect(second.expires_at).toBeNull();
    expect(api.state.find("key", made.key_id)?.body.expires_at).toBe("2026-10-27T00:00:00.000Z");
  });

  test("of a key that holds no more is 409", async () => {
    const { key_id } = await create();
    await ask("DELETE", `/v1/keys/${key_id}?project=acme`);
    const answer = await ask("POST", `/v1/keys/${key_id}/rotate?project=acme`, {});
    expect(answer.status).toBe(409);
  });
});

describe("A04 revoking", () => {
  test("ends a key at once and for good, and is in the audit log", async () => {
    const { key, key_id } = await create();
    await create();
    const first = await ask("DELETE", `/v1/keys/${key_id}?project=acme`);
    expect(first.status).toBe(200);
    expect(first.json).toMatchObject({ status: "revoked", revoked_at: "2026-10-27T00:00:00.000Z" });
    expect(authenticator.identify({ "x-api-key": key })).toMatchObject({ problem: "revoked" });
    expect((await ask("DELETE", `/v1/keys/${key_id}?project=acme`)).json).toEqual(first.json);
    expect(api.audited.at(-1)).toMatchObject({
      object_id: key_id,
      detail: { revoked: { name: "ci", at: "2026-10-27T00:00:00.000Z" } },
    });
  });
});
