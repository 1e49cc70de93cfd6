import { expect, it } from "vitest";
import { conversation, prose } from "../../src/storage/conversations.ts";

it("makes the same conversation from the same seed, and another one from another seed", () => {
  expect(conversation(1, 5)).toStrictEqual(conversation(1, 5));
  expect(conversation(2, 5).messages[0]).not.toStrictEqual(conversation(1, 5).messages[0]);
});

it("makes a conversation that begins with the shorter one of the same seed", () => {
  expect(conversation(1, 7).messages.slice(0, 5)).toStrictEqual(conversation(1, 5).messages);
});

it("makes a fork that differs from the fork point on", () => {
  const [original, fork] = [conversation(1, 7).messages, conversation(1, 7, { forkedAt: 5 }).messages];
  expect(fork.slice(0, 5)).toStrictEqual(original.slice(0, 5));
  expect(fork[5]).not.toStrictEqual(original[5]);
});

it("makes text of the given length, different for each seed", () => {
  expect(prose(1, 1_700)).toHaveLength(1_700);
  expect(prose(1, 1_700)).not.toBe(prose(2, 1_700));
});
