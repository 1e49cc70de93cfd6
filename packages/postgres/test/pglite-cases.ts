import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { afterAll } from "vitest";

/** Of each file of tests, since it takes seconds to make one: cases have schemas of their own. */
let shared: Promise<PGlite> | undefined;
let cases = 0;

/** Returns the in-memory PGlite that the tests of a file share. */
export function sharedPglite(): Promise<PGlite> {
  shared ??= PGlite.create();
  return shared;
}

afterAll(async () => void (await (await shared)?.close()));

/** Returns the name of a schema for one case, and a function that drops it. */
export async function newSchema(): Promise<{ schema: string; drop(): Promise<void> }> {
  const pglite = await sharedPglite();
  cases += 1;
  const schema = `case_${cases}`;
  return { schema, drop: async () => void (await pglite.exec(`drop schema if exists ${schema} cascade`)) };
}

/** Makes the path of a folder that does not exist, until the tests of the file are over. */
export function newFolder(): string {
  const parent = mkdtempSync(join(tmpdir(), "waymark-pglite-"));
  afterAll(() => rmSync(parent, { recursive: true, force: true }));
  return join(parent, "data");
}
