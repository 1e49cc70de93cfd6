import { createHash } from "node:crypto";
import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { type Bench, checkpointOf, newAgent, storeMany } from "../bench.ts";
import { expectCheckpointError, refusal } from "../errors.ts";
import { idAt } from "../ids.ts";

const CANARY = "canary-4f1e8c";
/** A word where something else is expected. It may be shown. */
const WRONG = "wrong";

export function describeErrors(bench: Bench): void {
  describe("an error", () => {
    it("is a CheckpointError with a code and the flag retryable, also for another copy of core", async () => {
      const error = await refusal(bench.storage.retrieveCheckpoint(7 as never), "INVALID_ARGUMENT");
      expectCheckpointError(error);
      expect(error.name).toBe("CheckpointError");
      expect(error.retryable).toBe(false);
    });

    it("is a rejection, never a synchronous throw, also for wrong arguments", async () => {
      const { storage } = bench;
      const calls = [
        () => storage.storeCheckpoint(null as never),
        () => storage.retrieveCheckpoint(null as never),
        () => storage.retrieveLatestCheckpoint(null as never),
        () => storage.listCheckpoints(null as never),
        () => storage.listAgents(null as never),
        () => storage.deleteCheckpoint(null as never),
        () => storage.deleteAgent(null as never),
        () => storage.pruneCheckpoints(null as never),
        () => storage.stats(null as never),
        () => storage.migrate(null as never),
      ];
      for (const call of calls) {
        const outcome = call();
        expect(outcome, String(call)).toBeInstanceOf(Promise);
        await refusal(outcome, "INVALID_ARGUMENT");
      }
    });

    it("contains nothing of the state, the name or the metadata", async () => {
      const { storage } = bench;
      const agentId = newAgent();
      const canary = { secret: CANARY, list: [CANARY], map: new Map([[1, CANARY]]), bytes: Buffer.from(CANARY) };
      const members = { name: CANARY, metadata: { label: CANARY }, state: canary };
      const id = await storage.storeCheckpoint(checkpointOf(agentId, members));
      const closed = bench.open();
      await closed.close();
      const throwing = Object.defineProperty({}, "a", {
        enumerable: true,
        get: () => {
          throw new TypeError(CANARY);
        },
      });
      const calls: readonly (() => Promise<unknown>)[] = [
        () => storage.storeCheckpoint(checkpointOf(agentId, { ...members, state: { ...canary, run: () => CANARY } })),
        () =>
          storage.storeCheckpoint(checkpointOf(agentId, { ...members, state: { ...canary, wrapped: Object(CANARY) } })),
        () => storage.storeCheckpoint(checkpointOf(agentId, { ...members, state: { ...canary, broken: throwing } })),
        () => storage.storeCheckpoint(checkpointOf(agentId, { ...members, id, state: [canary] })),
        () => storage.storeCheckpoint(checkpointOf(agentId, { ...members, id, name: `${CANARY} again` })),
        () => storage.storeCheckpoint(checkpointOf(agentId, members), { ifLatest: null }),
        () => storage.storeCheckpoint(checkpointOf(agentId, members), { ifLatest: WRONG }),
        () => storage.storeCheckpoint(checkpointOf(agentId, members), { signal: AbortSignal.abort(CANARY) }),
        () => storage.storeCheckpoint(checkpointOf(agentId, { ...members, metadata: { label: [CANARY] as never } })),
        () => storage.storeCheckpoint(checkpointOf(agentId, { ...members, metadata: { label: CANARY.repeat(2_000) } })),
        () => storage.storeCheckpoint(checkpointOf(agentId, { ...members, name: CANARY.repeat(2_000) })),
        () => storage.storeCheckpoint(checkpointOf(agentId, { ...members, name: `${CANARY}\0` })),
        () => storage.storeCheckpoint(checkpointOf(`${CANARY}\ud800`, members)),
        () => storage.storeCheckpoint(checkpointOf(agentId, { ...members, createdAt: WRONG as never })),
        () => storage.storeCheckpoint(checkpointOf(agentId, { ...members, id: WRONG })),
        () => storage.listCheckpoints({ agentId, before: WRONG }),
        () => storage.listCheckpoints({ name: CANARY }),
        () => storage.listCheckpoints({ agentId, metadata: CANARY as never }),
        () => storage.pruneCheckpoints({ agentId, keepLast: WRONG as never }),
        () => storage.migrate(WRONG as never),
        () => closed.storeCheckpoint(checkpointOf(agentId, members)),
      ];
      for (const call of calls) await expectSilent(call);
    });

    it("contains nothing of a stored state that cannot be read", async () => {
      const reader = bench.open({ cacheBytes: 0 });
      const state = { secret: CANARY, later: "x".repeat(200) };
      const id = await bench.storage.storeCheckpoint(checkpointOf(newAgent(), { state }));
      const broken = [
        ...[`{"secret":"${CANARY}"`, `{"secret":${CANARY}}`, `"${CANARY}`, CANARY].map(
          (text) => ["json", text] as const,
        ),
        ...[`{"$":["${CANARY}"]}`, `{"$":["map","${CANARY}"]}`, `{"$x":"${CANARY}"}`].map(
          (text) => ["tagged", text] as const,
        ),
      ];
      for (const [encoding, text] of broken) {
        const bytes = Buffer.from(text);
        // With a matching digest, of the text with and without its form, so that the parser is reached.
        for (const form of ["", `${encoding}\0`]) {
          const digest = createHash("sha256").update(form).update(bytes).digest();
          await bench.store.damageRow(id, { encoding, state: bytes, stateBytes: bytes.byteLength, digest });
          await expectSilent(() => reader.retrieveCheckpoint(id));
        }
      }
      for (const encoding of ["json", "json+deflate", "tagged"]) {
        await bench.store.damageRow(id, { encoding });
        await bench.store.damageRow(id, { state: Buffer.from(JSON.stringify(state)), stateBytes: 1 });
        await expectSilent(() => reader.retrieveCheckpoint(id));
      }
    });

    it("names the operation, the member and the expected values", async () => {
      const error = await refusal(bench.storage.listCheckpoints({ limit: 0 }), "INVALID_ARGUMENT");
      expect(error.message).toMatch(/limit.*1 to 10000.*0/);
      const { agentId, ids } = await storeMany(bench.storage, newAgent(), 1);
      const conflict = await refusal(
        bench.storage.storeCheckpoint(checkpointOf(agentId), { ifLatest: idAt(Date.now()) }),
        "CONFLICT",
      );
      expect(conflict.message).toMatch(/^store checkpoint: /);
      const other = checkpointOf(agentId, { id: ids[0] as string });
      const taken = await refusal(bench.storage.storeCheckpoint(other), "CONFLICT");
      expect(taken.message).toContain(ids[0]);
    });
  });
}

/** Expects that the call rejects, and that the canary is in no printed form of the error. */
async function expectSilent(call: () => Promise<unknown>): Promise<void> {
  const error = await call().then(
    () => "the call did not reject",
    (reason: unknown) => reason,
  );
  expectCheckpointError(error, String(call));
  const encodings = [CANARY, Buffer.from(CANARY).toString("base64"), Buffer.from(CANARY).toString("hex")];
  for (const text of texts(error)) {
    for (const canary of encodings) expect(text.includes(canary), `${String(call)}: ${text}`).toBe(false);
  }
}

function texts(error: unknown): string[] {
  const found: string[] = [];
  for (let current = error; typeof current === "object" && current !== null; current = Reflect.get(current, "cause")) {
    found.push(
      inspect(current, { depth: Number.POSITIVE_INFINITY, showHidden: true }),
      JSON.stringify(current),
      String(current),
    );
    found.push(String(Reflect.get(current, "message")), String(Reflect.get(current, "stack")));
  }
  return found;
}
