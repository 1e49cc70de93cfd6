import { expect, it } from "vitest";
import { conversation, prose } from "../../src/storage/conversations.ts";

it("makes the same conversation of the same seed, and another one of another", () => {
  expect(conversation(1, 5)).toStrictEqual(conversation(1, 5));
  expect(conversation(2, 5).messages[0]).not.toStrictEqual(conversation(1, 5).messages[0]);
});

it("makes a conversation that begins with the shorter one of its seed", () => {
  expect(conversation(1, 7).messages.slice(0, 5)).toStrictEqual(conversation(1, 5).messages);
});

it("makes a fork that is its own from where it was forked", () => {
  const [line, fork] = [conversation(1, 7).messages, conversation(1, 7, { forkedAt: 5 }).messages];
  expect(fork.slice(0, 5)).toStrictEqual(line.slice(0, 5));
  expect(fork[5]).not.toStrictEqual(line[5]);
});

it("makes text of the length that was asked for, of words that are not always in the same order", () => {
  expect(prose(1, 1_700)).toHaveLength(1_700);
  expect(prose(1, 1_700)).not.toBe(prose(2, 1_700));
});
