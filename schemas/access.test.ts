/**
 * Who may do what, against a table typed by hand, and the properties that no change of the table may break.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type AccessObject,
  type Action,
  ACTION_NAMES,
  type Actor,
  can,
  isAtLeast,
  makeOperator,
  type Role,
  ROLES,
  type Scope,
  SCOPES,
} from "./access.ts";

/** Typed from the issue, not from the code: the scopes that do, and the least role; null: no role matters. */
const EXPECTED: Readonly<
  Record<string, readonly [scopes: string, least: Role | "operator" | null]>
> = {
  "ingest:write": ["ingest", null],
  "usage:read": ["read admin", "viewer"],
  "settings:read": ["read admin", "viewer"],
  "members:read": ["read admin", "viewer"],
  "organization:read": ["read admin", "viewer"],
  "budgets:write": ["admin", "editor"],
  "alerts:write": ["admin", "editor"],
  "data:export": ["admin", "editor"],
  "data:erase": ["admin", "owner"],
  "project:write": ["admin", "owner"],
  "keys:manage": ["admin", "owner"],
  "members:manage": ["admin", "owner"],
  "organization:write": ["admin", "owner"],
  "audit:read": ["admin", "owner"],
  "installation:manage": ["admin", "operator"],
};

const SCOPE_SETS: readonly (readonly Scope[])[] = Array.from({ length: 8 }, (_, bits) =>
  SCOPES.filter((_scope, index) => (bits & (1 << index)) !== 0),
);

const OBJECT = { organization_id: "acme", project_id: "shop" };

/** A key of an organization or one of its projects, of a service (no role) or a member. */
function makeKey(
  scopes: readonly Scope[],
  role: Role | null = null,
  changes: Partial<Actor> = {},
): Actor {
  return {
    kind: "key",
    id: "key-1",
    name: "key",
    organization_id: "acme",
    project_id: null,
    scopes,
    member_id: role === null ? null : "member-1",
    roleFor: role === null ? null : () => role,
    ...changes,
  };
}

test("every action is in the table of this test", () => {
  expect(ACTION_NAMES.toSorted()).toEqual(Object.keys(EXPECTED).toSorted());
});

describe.each(ACTION_NAMES)("%s", (action) => {
  const [scopes, least] = EXPECTED[action] as readonly [string, Role | "operator" | null];
  const does = (given: readonly Scope[]) =>
    given.some((scope) => scopes.split(" ").includes(scope));

  test("A07: takes one of its scopes, and the refusal names what is missing", () => {
    for (const given of SCOPE_SETS) {
      const verdict = can(makeKey(given), action, OBJECT);
      const expected = does(given) && least !== "operator";
      expect({ given, allowed: verdict.is_allowed }).toEqual({ given, allowed: expected });
      if (verdict.is_allowed) continue;
      expect(verdict.is_visible).toBe(true);
      const wanted = least === "operator" ? "operator" : (scopes.split(" ")[0] as string);
      expect(verdict.reason).toContain(wanted);
    }
  });

  test("takes the least role of a member, whatever the scopes", () => {
    for (const role of ROLES) {
      const enough =
        least !== "operator" && (least === null || ROLES.indexOf(role) >= ROLES.indexOf(least));
      expect({ role, allowed: can(makeKey(SCOPES, role), action, OBJECT).is_allowed }).toEqual({
        role,
        allowed: enough,
      });
      expect(can(makeKey([], role), action, OBJECT).is_allowed).toBe(false);
    }
  });

  test("is the operator's with the scope, on whatever there is", () => {
    const objects: AccessObject[] = [
      OBJECT,
      { organization_id: null, project_id: null },
      { organization_id: "acme", project_id: null },
      { organization_id: "", project_id: "nothing" },
    ];
    for (const object of objects) {
      for (const given of SCOPE_SETS) {
        expect(can(makeOperator("key", given), action, object).is_allowed).toBe(does(given));
      }
    }
  });
});

const anAction = fc.constantFrom<Action>(...ACTION_NAMES);
const aRole = fc.constantFrom<Role>(...ROLES);
const someScopes = fc.subarray([...SCOPES]);
const anId = fc.constantFrom("acme", "other", "shop", "default", "");
const anObject = fc.record({
  organization_id: fc.option(anId),
  project_id: fc.option(anId),
});
const aKey = fc
  .record({
    scopes: someScopes,
    role: fc.option(aRole),
    organization_id: anId,
    project_id: fc.option(anId),
  })
  .map(({ scopes, role, ...of }) => makeKey(scopes, role, of));

test("a higher role, and one scope more, never take anything away", () => {
  fc.assert(
    fc.property(
      anAction,
      aKey,
      anObject,
      aRole,
      aRole,
      someScopes,
      (action, key, object, a, b, more) => {
        const [low, high] = isAtLeast(a, b) ? [b, a] : [a, b];
        const as = (role: Role, scopes: readonly Scope[]) =>
          can({ ...key, scopes, roleFor: () => role }, action, object).is_allowed;
        const all = [...new Set([...key.scopes, ...more])];
        if (as(low, key.scopes)) expect(as(high, all)).toBe(true);
      },
    ),
  );
});

test("A08: a key does nothing outside of its organization, nor of its project, and may not know of it", () => {
  fc.assert(
    fc.property(anAction, aKey, anObject, (action, key, object) => {
      const outside =
        object.organization_id !== key.organization_id ||
        (key.project_id !== null && object.project_id !== key.project_id);
      if (!outside) return;
      const verdict = can(key, action, object);
      expect(verdict.is_allowed).toBe(false);
      // That only operators may do something is told of no object.
      if (!verdict.is_allowed && action !== "installation:manage") {
        expect(verdict.is_visible).toBe(false);
      }
    }),
  );
});

test("A07: a member's key never gives more than both its scopes and the role", () => {
  fc.assert(
    fc.property(anAction, aKey, anObject, aRole, (action, key, object, role) => {
      const both = can({ ...key, roleFor: () => role }, action, object).is_allowed;
      const scopes = can({ ...key, roleFor: null }, action, object).is_allowed;
      const roles = can({ ...key, scopes: SCOPES, roleFor: () => role }, action, object).is_allowed;
      expect(both).toBe(scopes && roles);
    }),
  );
});

test("a member without a role somewhere may not know what is there", () => {
  const key = makeKey(SCOPES, null, {
    roleFor: ({ project_id }) => (project_id === "shop" ? "owner" : null),
  });
  expect(can(key, "usage:read", OBJECT).is_allowed).toBe(true);
  for (const project_id of ["secret", null]) {
    const verdict = can(key, "usage:read", { ...OBJECT, project_id });
    expect(verdict).toMatchObject({ is_allowed: false, is_visible: false });
  }
});
