import { describe, expect, it } from "vitest";
import type { WhoamiAnswer } from "../../schemas/api-tenancy.ts";
import { mayWriteBudgets } from "./budgets.ts";

const project = { project_id: "shop", organization_id: "acme", name: "Shop", role: null } as const;

function makeWho(changes: Partial<WhoamiAnswer>): WhoamiAnswer {
  return {
    actor: { kind: "key", id: "k", name: "k" },
    organization_id: "acme",
    project_id: null,
    scopes: ["read", "admin"],
    member_id: null,
    role: null,
    projects: [project],
    receiver: null,
    ...changes,
  };
}

describe("who may change budgets", () => {
  it("is a key with the scope admin, and none without it", () => {
    expect(mayWriteBudgets(makeWho({}), null)).toBe(true);
    expect(mayWriteBudgets(makeWho({ scopes: ["read"] }), null)).toBe(false);
  });

  it("is a member who is editor or owner of the project that is shown", () => {
    const other = { ...project, project_id: "lab", role: "editor" as const };
    const who = makeWho({
      member_id: "m",
      projects: [{ ...project, role: "viewer" }, other],
    });
    expect(mayWriteBudgets(who, "shop")).toBe(false);
    expect(mayWriteBudgets(who, "lab")).toBe(true);
    expect(mayWriteBudgets(who, null)).toBe(false);
    expect(mayWriteBudgets(makeWho({ member_id: "m", role: "owner" }), null)).toBe(true);
  });

  it("is nobody as long as it is not known who asks", () => {
    expect(mayWriteBudgets(null, null)).toBe(false);
  });
});
