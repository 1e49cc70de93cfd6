import { once } from "node:events";
import { createMemoryStorage, type MemoryDialect, resolveMemoryOptions } from "@waymark/core/memory/kit";
import { expect, it } from "vitest";
import { shareConnection } from "../src/database.ts";
import { createMemoryDialect } from "../src/memory/dialect.ts";
import { resolveOptions } from "../src/options.ts";
import { failure, newFile } from "./fixtures.ts";

it("ends the making of an index that takes longer than it may take to close", async () => {
  const options = resolveOptions({ databasePath: newFile() });
  const dialect = createMemoryDialect(shareConnection(options).share(), options, false);
  const begun = new EventTarget();
  const vectorIndex: MemoryDialect["vectorIndex"] = {
    async create(_, signal) {
      begun.dispatchEvent(new Event("begun"));
      await once(signal, "abort");
      throw signal.reason;
    },
    drop: async () => false,
  };
  const memory = createMemoryStorage({ ...dialect, vectorIndex }, resolveMemoryOptions());
  const isBegun = once(begun, "begun");
  const creating = failure(memory.createVectorIndex(768));
  await isBegun;
  await memory.close({ timeoutMs: 0 });
  expect(await creating).toMatchObject({ code: "CLOSED", message: expect.stringContaining("create vector index") });
});
