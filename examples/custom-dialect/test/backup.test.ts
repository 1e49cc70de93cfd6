import { CheckpointError, createReplicatedStorage } from "@waymark/core";
import { expect, it } from "vitest";
import { createMapStorage } from "../src/index.ts";

it("refuses a backup, since the dialect has no outbox", () => {
  const replicate = () => createReplicatedStorage({ main: createMapStorage(), backup: createMapStorage() });
  expect(replicate).toThrow(CheckpointError);
  expect(replicate).toThrow(
    "expected main to be a storage whose dialect has an outbox and settings, got the dialect map",
  );
});
