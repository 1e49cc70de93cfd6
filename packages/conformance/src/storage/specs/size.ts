import { randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { type Bench, checkpointOf, newAgent } from "../bench.ts";
import { expectCheckpointError } from "../errors.ts";

const KB = 1_000;
const MB = 1_000 * KB;

export function describeSize(bench: Bench): void {
  describe("a large state", () => {
    const sizes = [
      ["64 kB", 64 * KB],
      ["1 MB", MB],
      ["20 MB", 20 * MB],
    ] as const;
    const kinds = [
      [
        "compressible",
        (bytes: number) => Array.from({ length: bytes / 100 }, (_, index) => `line ${index}`.padEnd(97, ".")),
      ],
      ["incompressible", (bytes: number) => new Uint8Array(randomBytes(bytes))],
    ] as const;

    for (const [size, bytes] of sizes) {
      for (const [kind, make] of kinds) {
        it(`of ${size}, ${kind}, comes back, or is refused with its size and the limit and leaves no row`, async () => {
          const before = await bench.store.countRows();
          const state = make(bytes);
          const outcome = await bench.storage.storeCheckpoint(checkpointOf(newAgent(), { state })).then(
            (id) => ({ id }),
            (error: unknown) => ({ error }),
          );
          if ("id" in outcome) {
            const back = await bench.storage.retrieveCheckpoint(outcome.id);
            expect(sameBytes(back?.state, state)).toBe(true);
          } else {
            expectTooLarge(outcome.error);
            expect(await bench.store.countRows()).toBe(before);
          }
          await expectWorking(bench);
        });
      }
    }

    it("of 1 MB comes back when twenty are stored and retrieved at once", async () => {
      const agentId = newAgent();
      const states = Array.from({ length: 20 }, () => randomBytes(500 * KB).toString("hex"));
      const ids = await Promise.all(
        states.map((state) => bench.storage.storeCheckpoint(checkpointOf(agentId, { state }))),
      );
      const back = await Promise.all(ids.map((id) => bench.storage.retrieveCheckpoint(id)));
      expect(back.every((checkpoint, index) => checkpoint?.state === states[index])).toBe(true);
    });
  });
}

/** Compares without an assertion: one that prints the difference takes minutes for megabytes. */
function sameBytes(one: unknown, other: string[] | Uint8Array): boolean {
  if (other instanceof Uint8Array) return one instanceof Uint8Array && Buffer.compare(one, other) === 0;
  return JSON.stringify(one) === JSON.stringify(other);
}

function expectTooLarge(error: unknown): void {
  expectCheckpointError(error);
  const { code, message } = error;
  expect(code, message).toBe("STATE_TOO_LARGE");
  const [size = 0, limit = 0] = (message.match(/\d{5,}/g) ?? []).map(Number);
  expect(limit, message).toBeGreaterThan(0);
  expect(size, message).toBeGreaterThan(limit);
}

async function expectWorking(bench: Bench): Promise<void> {
  const checkpoint = checkpointOf(newAgent());
  const stores = Array.from({ length: 30 }, () => bench.storage.storeCheckpoint(checkpoint));
  expect(new Set(await Promise.all(stores)).size).toBe(30);
}
