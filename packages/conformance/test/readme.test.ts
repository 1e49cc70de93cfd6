import { readFile } from "node:fs/promises";
import { expect, it } from "vitest";

const read = (path: string) => readFile(new URL(path, import.meta.url), "utf8");

it("shows in the README the test that the example runs", async () => {
  const [readme, example] = [
    await read("../README.md"),
    await read("../../../examples/custom-dialect/test/conformance.test.ts"),
  ];
  expect(/```ts\n(.*?)```/s.exec(readme)?.[1]).toBe(example);
});
