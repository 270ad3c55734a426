import { expect, test } from "vitest";
import { toCsv } from "./table.ts";

test("a CSV has the raw values, quoted where they must be", () => {
  const rows = [
    { name: 'a "b", c', cost: "0.000000000001", calls: 3 },
    { name: "line\nbreak", cost: null, calls: 0 },
  ];
  const csv = toCsv({
    columns: [
      { key: "name", title: "Name", value: ({ name }: (typeof rows)[number]) => name },
      { key: "cost_usd", title: "Cost", value: ({ cost }) => cost, show: () => "$0.00" },
      { key: "calls", title: "Calls", value: ({ calls }) => calls },
    ],
    rows,
  });
  expect(csv).toBe('name,cost_usd,calls\r\n"a ""b"", c",0.000000000001,3\r\n"line\nbreak",,0\r\n');
});

test("no text of a ledger becomes a formula of a spreadsheet, and numbers stay numbers", () => {
  const values = ["=1+1", "@SUM(A1)", "+1", "-cmd", "-12.5", "\tx", "plain"];
  const csv = toCsv({
    columns: [{ key: "value", title: "Value", value: ({ value }: { value: string }) => value }],
    rows: values.map((value) => ({ value })),
  });
  expect(csv.split("\r\n").slice(1, -1)).toEqual([
    "'=1+1",
    "'@SUM(A1)",
    "'+1",
    "'-cmd",
    "-12.5",
    "'\tx",
    "plain",
  ]);
});
