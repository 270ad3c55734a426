/** `/`: the built-in page, and that nothing but its files can be had through it. */
import { expect, test } from "vitest";
import type { Engine } from "../../clickhouse/engine.ts";
import { makeTestApi } from "../../test/support/api.ts";

const api = makeTestApi({} as Engine);

test("anyone gets the page, whatever view its address names, with a policy without exceptions", async () => {
  for (const path of ["/", "/?view=costs&range=7d&user_id=o%27brien&user_id=%3Cb%3E"]) {
    const { status, headers, text } = await api.ask(path, null);
    expect([status, headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
    expect(text).not.toContain("brien");
    const policy = headers.get("content-security-policy") ?? "";
    expect(policy).toMatch(
      /^default-src 'none'; script-src 'self' 'sha256-[^']+'; style-src 'self'/,
    );
    expect(policy).not.toContain("unsafe");
    expect(headers.get("cache-control")).toBe("no-cache");
  }
});

test("its files are kept for ever, and those of another version are not there", async () => {
  const { text } = await api.ask("/", null);
  const files = [...text.matchAll(/(?:src|href)="(\/page\/[^"]+)"/g)].map(
    (match) => match[1] ?? "",
  );
  expect(files.length).toBeGreaterThan(10);
  for (const file of files) {
    const { status, headers } = await api.ask(file, null);
    expect([file, status]).toEqual([file, 200]);
    expect(headers.get("cache-control")).toContain("immutable");
  }
  const old = (files[0] ?? "").replace(/\/page\/\w+\//, "/page/0000000000000000/");
  expect((await api.ask(old, null)).status).toBe(404);
});

test("no path leads out of the files of the page", async () => {
  const { text } = await api.ask("/", null);
  const base = /href="(\/page\/\w+)\//.exec(text)?.[1] ?? "";
  for (const path of [
    "/index.html",
    "/tsconfig.json",
    "/..%2fpackage.json",
    "/views/..%2f..%2fpackage.json",
    "/packages/..%2fmain.ts",
    "/%2e%2e/app.ts",
    "/format.test.ts",
    "/__proto__",
  ]) {
    expect([path, (await api.ask(base + path, null)).status]).toEqual([path, 404]);
  }
});
