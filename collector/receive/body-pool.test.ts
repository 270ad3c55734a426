/** Memory of bodies that is used again, and what must never be. */
import { expect, test } from "vitest";
import { BodyPool } from "./body-pool.ts";

const piece = (size: number, value: number): Uint8Array => new Uint8Array(size).fill(value);

test("a joined body holds its pieces in order, also in memory that had another", () => {
  const pool = new BodyPool();
  const first = pool.join([piece(5, 1), piece(3, 2)]);
  expect([...first]).toEqual([1, 1, 1, 1, 1, 2, 2, 2]);
  pool.give(first);
  const second = pool.join([piece(2, 7), piece(2, 8)]);
  expect(second.buffer).toBe(first.buffer);
  expect([...second]).toEqual([7, 7, 8, 8]);
});

test("two bodies that are in use never share memory, whatever was given back twice", () => {
  const pool = new BodyPool();
  const first = pool.join([piece(4, 1), piece(4, 1)]);
  pool.give(first);
  pool.give(first);
  const second = pool.join([piece(4, 2), piece(4, 2)]);
  const third = pool.join([piece(4, 3), piece(4, 3)]);
  expect(third.buffer).not.toBe(second.buffer);
  expect([...second]).toEqual([2, 2, 2, 2, 2, 2, 2, 2]);
});

test("what is not of the pool is not taken into it", () => {
  const pool = new BodyPool();
  const foreign = piece(8, 9);
  pool.give(foreign);
  expect(pool.join([piece(1, 1), piece(1, 2)]).buffer).not.toBe(foreign.buffer);
});

test("a piece that is a part of other memory leaves it alone", () => {
  const shared = piece(16, 5);
  const pool = new BodyPool();
  pool.join([shared.subarray(0, 8), piece(8, 1)]);
  expect(shared.length).toBe(16);
  expect(shared[15]).toBe(5);
});

test("a body beyond the size of the pool's memory has its own", () => {
  const pool = new BodyPool();
  const large = pool.join([piece(1024 ** 2, 1), piece(1, 2)]);
  expect(large.length).toBe(1024 ** 2 + 1);
  expect(large.at(-1)).toBe(2);
  pool.give(large);
  expect(pool.join([piece(1, 1), piece(1, 2)]).buffer).not.toBe(large.buffer);
});

test("owned pieces that share their memory are all in the body before it is let go", () => {
  const shared = new Uint8Array(16).map((_value, index) => index);
  const whole = new BodyPool().join([shared.subarray(0, 4), shared.subarray(4, 9)], true);
  expect([...whole]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
  expect(shared.length).toBe(0);
});
