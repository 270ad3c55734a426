/** Snippets name the addresses of the installation, and a place for the key only where keys are needed. */
import { describe, expect, test } from "vitest";
import { CLIENTS, targetOf } from "./snippets.ts";

const LOCAL = { otlp_http: "http://127.0.0.1:14318", otlp_grpc: "http://127.0.0.1:14317" };

describe("where spans go", () => {
  test("is where the process receives", () => {
    expect(targetOf(LOCAL, "ledger.example", false)).toEqual({
      ...LOCAL,
      is_guess: false,
      has_keys: false,
    });
  });

  test.each([
    ["http://0.0.0.0:4318", "http://ledger.example:4318"],
    ["https://[::]:4318", "https://ledger.example:4318"],
    ["http://[::1]:4318", "http://[::1]:4318"],
    ["http://10.0.0.0:4318", "http://10.0.0.0:4318"],
  ])("listening at %s it is %s", (otlp_http, reached) => {
    const target = targetOf({ ...LOCAL, otlp_http }, "ledger.example", true);
    expect(target.otlp_http).toBe(reached);
  });

  test("is the usual port of the host when another process receives, and says that it is a guess", () => {
    expect(targetOf(null, "ledger.example", true)).toEqual({
      otlp_http: "http://ledger.example:4318",
      otlp_grpc: "http://ledger.example:4317",
      is_guess: true,
      has_keys: true,
    });
  });
});

describe.each(CLIENTS.map(({ name, makeBlocks }) => ({ name, makeBlocks })))(
  "$name",
  ({ makeBlocks }) => {
    const textOf = (has_keys: boolean) =>
      makeBlocks(targetOf(LOCAL, "ledger.example", has_keys))
        .map(({ code }) => code)
        .join("");

    test("sends to this installation", () => {
      expect(textOf(false)).toContain("127.0.0.1:14318");
      expect(textOf(false)).not.toContain("undefined");
    });

    test("has a place for a key exactly where keys are needed", () => {
      expect(textOf(false)).not.toContain("YOUR_KEY");
      expect(textOf(true)).toContain("YOUR_KEY");
    });
  },
);
