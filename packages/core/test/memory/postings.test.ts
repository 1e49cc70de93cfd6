import { expect, it } from "vitest";
import { Analyses, removePostings } from "../../src/memory/postings.ts";
import type { SpaceRow } from "../../src/memory/tables.ts";
import { ANALYZER_VERSION } from "../../src/memory/words.ts";

const space = { number: 1, language: "none", analyzer: ANALYZER_VERSION } as SpaceRow;

it("analyzes a stored text once in a call, until its item has another revision", async () => {
  const analyses = new Analyses();
  const item = { number: 5, text: "one two", rawText: null };
  const removed = async (text: string, revision: string) =>
    JSON.stringify(await removePostings(space, [{ ...item, text, revision }], analyses));
  const first = await removed("one two", "a");
  expect(first).toContain("two");
  // By its revision: the text is not looked at again.
  expect(await removed("three", "a")).toBe(first);
  expect(await removed("three", "b")).toContain("three");
});
