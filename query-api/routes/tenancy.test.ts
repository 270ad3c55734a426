/**
 * Organizations, projects, members and who one is, as their routes answer. What each may not do to
 * another's is in query-api/tenancy.test.ts.
 */
import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import type { Engine } from "../../clickhouse/engine.ts";
import { type Actor, makeOperator, type Role, SCOPES } from "../../schemas/access.ts";
import {
  MembersAnswer,
  MemberView,
  OrganizationsAnswer,
  OrganizationView,
  ProjectsAnswer,
  ProjectView,
  WhoamiAnswer,
} from "../../schemas/api-tenancy.ts";
import { makeActor } from "../../state/authenticator.ts";
import { StateStore } from "../../state/store.ts";
import { addProjects, makeTestApi, readStrictly, type TestApi } from "../../test/support/api.ts";
import { makeId, pageOf } from "../page.ts";

const NOW_MS = Date.UTC(2026, 9, 27);
const engine = {
  kind: "server",
  query: async () => [],
  command: async () => {},
} as unknown as Engine;

let api: TestApi;
let state: StateStore;
let actor: Actor;

/** The organizations acme and other, each with a project of its name. */
beforeEach(async () => {
  const log = { info: () => {}, warn: () => {}, error: () => {} };
  state = new StateStore({
    engine,
    log,
    now_ms: () => NOW_MS,
    refresh_ms: 3_600_000,
    snapshot: null,
  });
  await addProjects(state, ["acme", "other"]);
  actor = makeOperator();
  const authenticate = () => ({ actor, expires_at_ms: null });
  api = makeTestApi(engine, { state, now_ms: () => NOW_MS, authenticate });
});

/** A key of acme, with all scopes. */
function makeKey(changes: Partial<Actor> = {}): Actor {
  return { ...makeOperator("key-1"), kind: "key", organization_id: "acme", ...changes };
}

/** The actor of a key of a member of acme, as the authenticator makes it. */
function makeMemberKey(member_id: string): Actor {
  return makeActor(
    {
      key_id: `key-of-${member_id}`,
      organization_id: "acme",
      project_id: null,
      member_id,
      name: "key",
      scopes: [...SCOPES],
      sha256: "0".repeat(64),
      allowed_service_name: null,
      created_at: "2026-01-01T00:00:00.000Z",
      created_by: "test",
      expires_at: null,
      revoked_at: null,
      replaced_by: null,
    },
    state,
  );
}

async function send(method: string, path: string, body?: unknown, headers = {}) {
  const init = {
    method,
    headers: { "content-type": "application/json", ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  };
  const { status, json, text } = await api.ask(path, null, init);
  const { code } = (json as { error?: { code: string } } | undefined)?.error ?? { code: "" };
  return { status, json, text, code };
}
const read = (path: string) => send("GET", path);

const MEMBERS = "/v1/orgs/acme/members";
async function addMember(email: string, role: Role, more = {}): Promise<MemberView> {
  const { status, json, text } = await send("POST", MEMBERS, { name: email, email, role, ...more });
  expect(status, text).toBe(201);
  return readStrictly(MemberView, json);
}

describe("organizations", () => {
  test("the default one is there though nobody made it, and can be given a name", async () => {
    const before = readStrictly(OrganizationView, (await read("/v1/orgs/default")).json);
    expect(before).toMatchObject({ organization_id: "default", version: 0 });
    const patched = await send("PATCH", "/v1/orgs/default", { name: "Ours", version: 0 });
    expect(readStrictly(OrganizationView, patched.json)).toMatchObject({ name: "Ours" });
    const { organizations } = readStrictly(OrganizationsAnswer, (await read("/v1/orgs")).json);
    expect(organizations.map(({ organization_id, name }) => [organization_id, name])).toEqual([
      ["acme", "acme"],
      ["default", "Ours"],
      ["other", "other"],
    ]);
  });

  test("are made by the operator, with an id that is chosen or made of the name", async () => {
    const chosen = await send("POST", "/v1/orgs", { organization_id: "new.one", name: "New" });
    expect([chosen.status, readStrictly(OrganizationView, chosen.json)]).toMatchObject([
      201,
      { organization_id: "new.one", name: "New", created_at: "2026-10-27T00:00:00.000Z" },
    ]);
    const made = await send("POST", "/v1/orgs", { name: "Größte Ärzte & Co." });
    const { organization_id } = readStrictly(OrganizationView, made.json);
    expect(organization_id).toMatch(/^gro-te-arzte-co-[0-9a-f]{6}$/);
    actor = makeKey();
    expect((await send("POST", "/v1/orgs", { name: "x" })).status).toBe(403);
  });

  test("are not made with the id of another, nor of one that was, nor one that is no slug", async () => {
    for (const organization_id of ["acme", "default"]) {
      const taken = await send("POST", "/v1/orgs", { organization_id, name: "x" });
      expect([taken.status, taken.code]).toEqual([409, "id_used"]);
    }
    expect((await send("POST", "/v1/orgs", { organization_id: "gone", name: "x" })).status).toBe(
      201,
    );
    expect((await send("DELETE", "/v1/orgs/gone")).status).toBe(204);
    expect((await read("/v1/orgs/gone")).status).toBe(404);
    expect((await send("POST", "/v1/orgs", { organization_id: "gone", name: "y" })).code).toBe(
      "id_used",
    );
    for (const organization_id of ["A", "", "-a", "a-", "a b", "a/b", "ä", "x".repeat(65)]) {
      const { status } = await send("POST", "/v1/orgs", { organization_id, name: "x" });
      expect([organization_id, status]).toEqual([organization_id, 400]);
    }
  });

  test("are deleted only when nothing is in them", async () => {
    const refused = await send("DELETE", "/v1/orgs/acme");
    expect([refused.status, refused.code]).toEqual([409, "organization_in_use"]);
    expect(refused.text).toContain("1 projects");
    expect((await send("DELETE", "/v1/orgs/default")).status).toBe(409);
    actor = makeKey();
    expect((await send("DELETE", "/v1/orgs/acme")).status).toBe(403);
    expect((await send("DELETE", "/v1/orgs/other")).status).toBe(403);
  });
});

describe("projects", () => {
  test("the default one is there though nobody made it, and takes limits and retention", async () => {
    const { projects } = readStrictly(ProjectsAnswer, (await read("/v1/projects")).json);
    expect(projects.map(({ project_id }) => project_id)).toEqual(["acme", "default", "other"]);
    const body = { limits: { spans_per_second: 100 }, retention: { content_days: 7 } };
    const patched = await send("PATCH", "/v1/projects/default", body);
    expect(readStrictly(ProjectView, patched.json)).toMatchObject({
      organization_id: "default",
      limits: { spans_per_second: 100, bytes_per_second: null, monthly_spans: null },
      retention: { raw_days: null, content_days: 7, rollup_days: null },
    });
    // What is not given stays, null takes away.
    const next = { limits: { monthly_spans: 5, spans_per_second: null }, name: "Main" };
    const again = await send("PATCH", "/v1/projects/default", next);
    expect(readStrictly(ProjectView, again.json)).toMatchObject({
      name: "Main",
      limits: { spans_per_second: null, bytes_per_second: null, monthly_spans: 5 },
      retention: { raw_days: null, content_days: 7, rollup_days: null },
    });
    expect(readStrictly(ProjectView, (await read("/v1/projects/default")).json).name).toBe("Main");
  });

  test("are made in one's own organization, with an id made of the name", async () => {
    actor = makeKey();
    const made = await send("POST", "/v1/projects", { name: "Checkout" });
    const { project_id, organization_id } = readStrictly(ProjectView, made.json);
    expect([made.status, organization_id]).toEqual([201, "acme"]);
    expect(project_id).toMatch(/^checkout-[0-9a-f]{6}$/);
    expect((await read(`/v1/projects/${project_id}`)).status).toBe(200);
    const { projects } = readStrictly(ProjectsAnswer, (await read("/v1/projects")).json);
    expect(projects.map((project) => project.project_id)).toEqual(["acme", project_id]);
    // To choose would tell which ids others have: the same answer for both.
    const taken = await send("POST", "/v1/projects", { project_id: "other", name: "x" });
    const free = await send("POST", "/v1/projects", { project_id: "free", name: "x" });
    expect([taken.status, taken.text]).toEqual([403, free.text]);
    expect((await send("POST", "/v1/projects?organization=other", { name: "x" })).status).toBe(404);
  });

  test("of the operator have the id and the organization that it says", async () => {
    const path = "/v1/projects?organization=acme";
    const made = await send("POST", path, { project_id: "shop", name: "Shop" });
    expect(readStrictly(ProjectView, made.json)).toMatchObject({
      project_id: "shop",
      organization_id: "acme",
    });
    for (const project_id of ["shop", "other", "default"]) {
      expect((await send("POST", path, { project_id, name: "x" })).code).toBe("id_used");
    }
    const { projects } = readStrictly(ProjectsAnswer, (await read(path)).json);
    expect(projects.map(({ project_id }) => project_id)).toEqual(["acme", "shop"]);
  });

  test("are never deleted: their data would be nobody's", async () => {
    expect((await send("DELETE", "/v1/projects/acme")).status).toBe(405);
  });

  test("A27: take no field that is not theirs to set", async () => {
    const before = (await read("/v1/projects/acme")).text;
    for (const body of [
      { organization_id: "other" },
      { project_id: "x" },
      { created_at: "2020-01-01T00:00:00.000Z" },
      { limits: { spans_per_second: 1, is_admin: true } },
      { limits: { spans_per_second: 0 } },
      { retention: { raw_days: -1 } },
      { name: "" },
      [],
    ]) {
      expect((await send("PATCH", "/v1/projects/acme", body)).status).toBe(400);
    }
    expect((await read("/v1/projects/acme")).text).toBe(before);
  });

  test("of two changes to one version the second is refused, in the body or as If-Match", async () => {
    const { version } = readStrictly(ProjectView, (await read("/v1/projects/acme")).json);
    const path = "/v1/projects/acme";
    const first = await send("PATCH", path, { name: "first", version });
    const next = readStrictly(ProjectView, first.json).version;
    expect(next).toBeGreaterThan(version);
    expect((await send("PATCH", path, { name: "second", version })).status).toBe(409);
    expect((await send("PATCH", path, { name: "x" }, { "if-match": `"${version}"` })).status).toBe(
      409,
    );
    expect((await send("PATCH", path, { name: "x" }, { "if-match": "*" })).status).toBe(400);
    const both = await send("PATCH", path, { name: "x", version }, { "if-match": `"${next}"` });
    expect(both.status).toBe(400);
    const good = await send("PATCH", path, { name: "third" }, { "if-match": `"${next}"` });
    expect(readStrictly(ProjectView, good.json).name).toBe("third");
  });
});

describe("members", () => {
  test("are added, listed, changed and removed, each told to the audit log", async () => {
    const ann = await addMember("ann@acme.example", "owner");
    expect(ann).toMatchObject({
      organization_id: "acme",
      project_roles: [],
      is_project_only: false,
    });
    const bob = await addMember("bob@acme.example", "viewer", {
      project_roles: [{ project_id: "acme", role: "editor" }],
    });
    const listed = readStrictly(MembersAnswer, (await read(MEMBERS)).json);
    expect(listed.members.map(({ email }) => email).toSorted()).toEqual([
      "ann@acme.example",
      "bob@acme.example",
    ]);
    const changed = await send("PATCH", `${MEMBERS}/${bob.member_id}`, { role: "editor" });
    expect(readStrictly(MemberView, changed.json)).toMatchObject({ role: "editor" });
    expect((await send("DELETE", `${MEMBERS}/${bob.member_id}`)).status).toBe(204);
    expect((await read(`${MEMBERS}/${bob.member_id}`)).status).toBe(404);
    expect(api.audited.map(({ object_id, detail }) => [object_id, detail])).toMatchObject([
      [ann.member_id, { created: { email: "ann@acme.example", role: "owner" } }],
      [bob.member_id, { created: { role: "viewer" } }],
      [bob.member_id, { before: { role: "viewer" }, after: { role: "editor" } }],
      [bob.member_id, { deleted: { email: "bob@acme.example" } }],
    ]);
  });

  test("A26: the last owner is neither removed nor made less, by nobody", async () => {
    const ann = await addMember("ann@acme.example", "owner");
    const path = `${MEMBERS}/${ann.member_id}`;
    for (const as of [makeOperator(), makeMemberKey(ann.member_id)]) {
      actor = as;
      for (const refused of [
        await send("DELETE", path),
        await send("PATCH", path, { role: "editor" }),
        await send("PATCH", path, { is_project_only: true }),
      ]) {
        expect([refused.status, refused.code]).toEqual([403, "last_owner"]);
      }
    }
    expect((await send("PATCH", path, { name: "Ann B." })).status).toBe(200);
    await addMember("ben@acme.example", "owner");
    expect((await send("PATCH", path, { role: "viewer" })).status).toBe(200);
  });

  test("A26: of owners who all leave at the same moment one stays", async () => {
    const owners = await Promise.all(
      ["a", "b", "c", "d"].map((name) => addMember(`${name}@acme.example`, "owner")),
    );
    const answers = await Promise.all(
      owners.map(({ member_id }, index) =>
        index % 2 === 0
          ? send("DELETE", `${MEMBERS}/${member_id}`)
          : send("PATCH", `${MEMBERS}/${member_id}`, { role: "viewer" }),
      ),
    );
    expect(answers.map(({ status }) => String(status)).toSorted()).toEqual([
      "200",
      "204",
      "204",
      "403",
    ]);
    const left = state.list("member").filter(({ body }) => body.role === "owner");
    expect(left).toHaveLength(1);
  });

  test("A26: whatever is asked in whatever order, an organization that had an owner has one", async () => {
    const step = fc.record({
      who: fc.nat({ max: 3 }),
      what: fc.constantFrom("remove", "viewer", "editor", "owner", "only", "whole"),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
        for (const { object_id } of state.list("member")) await state.remove("member", object_id);
        actor = makeOperator();
        const members: MemberView[] = [];
        for (const name of ["a", "b", "c", "d"]) {
          members.push(await addMember(`${name}@acme.example`, name === "a" ? "owner" : "viewer"));
        }
        await Promise.all(
          steps.map(({ who, what }) => {
            const path = `${MEMBERS}/${members[who]?.member_id}`;
            if (what === "remove") return send("DELETE", path);
            if (what === "only" || what === "whole") {
              return send("PATCH", path, { is_project_only: what === "only" });
            }
            return send("PATCH", path, { role: what });
          }),
        );
        const owners = state
          .list("member", { organization_id: "acme" })
          .filter(({ body }) => body.role === "owner" && !body.is_project_only);
        expect(owners.length).toBeGreaterThan(0);
      }),
      { numRuns: 20 },
    );
  });

  test("A26: nobody below an owner changes members, oneself included", async () => {
    await addMember("ann@acme.example", "owner");
    for (const role of ["viewer", "editor"] as const) {
      actor = makeOperator();
      const member = await addMember(`${role}@acme.example`, role, {
        project_roles: [{ project_id: "acme", role: "owner" }],
      });
      actor = makeMemberKey(member.member_id);
      const own = `${MEMBERS}/${member.member_id}`;
      for (const body of [{ role: "owner" }, { project_roles: [] }, { name: "x" }]) {
        expect((await send("PATCH", own, body)).status).toBe(403);
      }
      const invite = { name: "x", email: "x@acme.example", role: "owner" };
      expect((await send("POST", MEMBERS, invite)).status).toBe(403);
      expect((await send("DELETE", own)).status).toBe(403);
    }
  });

  test("A26: a role that is taken away is gone with the next request, and a member with the keys", async () => {
    await addMember("ann@acme.example", "owner");
    const bob = await addMember("bob@acme.example", "owner");
    const path = `${MEMBERS}/${bob.member_id}`;
    const key = makeMemberKey(bob.member_id);
    const rename = async () => {
      actor = key;
      const { status } = await send("PATCH", "/v1/projects/acme", { name: "x" });
      actor = makeOperator();
      return status;
    };
    expect(await rename()).toBe(200);
    await send("PATCH", path, { role: "editor" });
    expect(await rename()).toBe(403);
    await send("DELETE", path);
    expect(await rename()).toBe(404);
  });

  test("A08: have roles in projects of their own organization alone, another's is as none", async () => {
    const body = (project_id: string) => ({
      name: "x",
      email: "x@acme.example",
      role: "viewer",
      project_roles: [{ project_id, role: "owner" }],
    });
    const others = await send("POST", MEMBERS, body("other"));
    const none = await send("POST", MEMBERS, body("nothing"));
    expect([others.status, others.text]).toEqual([400, none.text]);
    expect((await send("POST", MEMBERS, body("acme"))).status).toBe(201);
  });

  test("have an e-mail address that no other one of the organization has", async () => {
    const ann = await addMember("ann@acme.example", "owner");
    const again = { name: "x", email: "ANN@acme.example", role: "viewer" };
    expect((await send("POST", MEMBERS, again)).code).toBe("member_exists");
    expect((await send("POST", "/v1/orgs/other/members", again)).status).toBe(201);
    const path = `${MEMBERS}/${ann.member_id}`;
    expect((await send("PATCH", path, { email: "Ann@acme.example" })).status).toBe(200);
  });
});

describe("who one is", () => {
  test("is told with all that one may ask about", async () => {
    const operator = readStrictly(WhoamiAnswer, (await read("/v1/whoami")).json);
    expect(operator).toMatchObject({ actor: { kind: "operator" }, organization_id: null });
    expect(operator.projects.map(({ project_id }) => project_id)).toEqual([
      "acme",
      "default",
      "other",
    ]);
    actor = makeKey({ project_id: "acme", scopes: ["read"] });
    expect(readStrictly(WhoamiAnswer, (await read("/v1/whoami")).json)).toEqual({
      actor: { kind: "key", id: "key-1", name: "operator" },
      organization_id: "acme",
      project_id: "acme",
      scopes: ["read"],
      member_id: null,
      role: null,
      projects: [{ project_id: "acme", organization_id: "acme", name: "acme", role: null }],
      receiver: null,
    });
  });

  test("is told of a member of one project with the role there, and of no other project", async () => {
    const shop = { project_id: "shop", name: "Shop" };
    await send("POST", "/v1/projects?organization=acme", shop);
    const member = await addMember("ann@acme.example", "owner", {
      is_project_only: true,
      project_roles: [{ project_id: "shop", role: "editor" }],
    });
    actor = makeMemberKey(member.member_id);
    const told = readStrictly(WhoamiAnswer, (await read("/v1/whoami")).json);
    expect([told.member_id, told.role]).toEqual([member.member_id, null]);
    expect(told.projects).toMatchObject([{ project_id: "shop", role: "editor" }]);
  });

  test("is not told to a key that only sends, which learns what it lacks", async () => {
    actor = makeKey({ scopes: ["ingest"] });
    const { status, text } = await read("/v1/whoami");
    expect([status, text.includes("lacks the scope read")]).toEqual([403, true]);
  });
});

describe("lists", () => {
  test("have every object once on their pages, whatever the limit", () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.string()), fc.integer({ min: 1, max: 5 }), (ids, limit) => {
        const items = ids.toSorted((a, b) => (a < b ? -1 : 1)).map((object_id) => ({ object_id }));
        const found: string[] = [];
        let cursor: string | undefined;
        do {
          const { page, next_cursor } = pageOf(items, { limit, cursor });
          found.push(...page.map(({ object_id }) => object_id));
          cursor = next_cursor ?? undefined;
        } while (cursor !== undefined);
        expect(found).toEqual(items.map(({ object_id }) => object_id));
      }),
    );
  });

  test("A10: take no cursor but their own", async () => {
    for (const cursor of ["x", "aWQ6", Buffer.from("id:a ").toString("base64"), "%00"]) {
      const { status } = await read(`/v1/projects?cursor=${encodeURIComponent(cursor)}`);
      expect([cursor, [200, 400].includes(status)]).toEqual([cursor, true]);
    }
    expect((await read("/v1/projects?cursor=x")).code).toBe("invalid_cursor");
    expect((await read("/v1/projects?limit=0")).status).toBe(400);
    const first = readStrictly(ProjectsAnswer, (await read("/v1/projects?limit=2")).json);
    const rest = await read(`/v1/projects?limit=2&cursor=${first.next_cursor}`);
    expect(readStrictly(ProjectsAnswer, rest.json)).toMatchObject({
      projects: [{ project_id: "other" }],
      next_cursor: null,
    });
  });

  test("ids made of names are ids, whatever the name", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 100 }), (name) => {
        expect(makeId(name, "project")).toMatch(/^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$/);
      }),
    );
  });
});
