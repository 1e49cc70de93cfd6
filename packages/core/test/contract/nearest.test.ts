import { expect, test } from "vitest";
import { nearest } from "../../src/contract/nearest.ts";

test("the nearest name differs by a third at most", () => {
  const names = ["sqlite", "postgres", "mysql"];
  const near = ["sqllite", "postgers", "mysq", "Postgress", "pg", "mongodb", ""].map((name) => nearest(name, names));
  expect(near).toEqual(["sqlite", "postgres", "mysql", "postgres", null, null, null]);
});
