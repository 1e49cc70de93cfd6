import { randomBytes, randomUUID } from "node:crypto";
import { accessSync, constants, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { CheckpointStorage, EncryptionOptions, KeyCounts } from "@waymark/core";
import { describe, expect, it } from "vitest";
import { newCheckpoint, ServerBench } from "./bench.ts";
import type { ServerTarget } from "./target.ts";

/** Describes storages and their server to the suite of encryption on servers. */
export interface EncryptionTarget extends ServerTarget {
  /** `reencryptCheckpoints` of the package under test. */
  reencrypt(storage: CheckpointStorage): Promise<{ readonly unreadable: number }>;
  /** `countEncryptionKeys` of the package under test. */
  countKeys(storage: CheckpointStorage): Promise<KeyCounts>;
  /** Returns the folder where the server of a database keeps its files, when what was committed is in them. */
  findFolder(url: string): Promise<string>;
}

const KEYS = { "2026": randomBytes(32), "2027": randomBytes(32) };
const DIGEST_KEY = randomBytes(32);
const encryption = (current: keyof typeof KEYS, migrate = false): EncryptionOptions => {
  return { keys: { current, keys: KEYS, digestKey: DIGEST_KEY }, migrate };
};

/** States of which some are stored in full, some as deltas; some are compressed, some are not. */
const newStates = (canary: string) =>
  Array.from({ length: 20 }, (_, turn) => ({
    canary,
    turns: Array.from({ length: turn * 4 }, (__, index) => ({
      at: index,
      text: `${canary} ${index}`,
      more: "of the same".repeat(9),
    })),
  }));

/** Registers the tests of encryption on a server: no state is in its files, and keys change while it is in use. */
export function describeServerEncryption(target: EncryptionTarget): void {
  const bench = new ServerBench(target);

  describe(`${target.name}: encrypted checkpoints on a server`, () => {
    it("leave no part of a state in the server's files, where plain ones do", async ({ skip }) => {
      const { url: connectionString } = await bench.createDatabase();
      const [plain, secret] = [`canary ${randomUUID()}`, `canary ${randomUUID()}`];
      // Several, since one may be cut in two by the headers of blocks in the server's logs.
      const unprotected = bench.open({ connectionString });
      for (let turn = 0; turn < 20; turn++) await unprotected.storeCheckpoint(newCheckpoint({ state: plain }));
      const found = isInFiles(await target.findFolder(connectionString), plain);
      if (found === null) skip("the server's files cannot be read from here");
      expect(found).toBe(true);
      const another = await bench.createDatabase(); // one with plain checkpoints would refuse keys
      const storage = bench.open({ connectionString: another.url, encryption: encryption("2026") });
      for (const state of [...newStates(secret), secret]) await storage.storeCheckpoint(newCheckpoint({ state }));
      await storage.pruneCheckpoints({ agentId: "agent", keepLast: 5 });
      expect(await storage.retrieveLatestCheckpoint("agent")).toMatchObject({ state: secret });
      expect(isInFiles(await target.findFolder(another.url), secret)).toBe(false);
    });

    it("are made of plain ones, and get new keys, while stores and prunes go on", async () => {
      const { url: connectionString } = await bench.createDatabase();
      const agents = ["one", "two", "three"];
      const plain = bench.open({ connectionString });
      for (const agentId of agents) {
        for (const state of newStates("before")) await plain.storeCheckpoint(newCheckpoint({ agentId, state }));
      }
      let done = false;
      const migrating = bench.open({ connectionString, encryption: encryption("2026", true) });
      const rotating = bench.open({ connectionString, encryption: encryption("2027", true), cacheBytes: 0 });
      const stores = agents.map(async (agentId) => {
        const stored = new Map<string, unknown>();
        for (let round = 0; !done; round++) {
          const state = { ...newStates("meanwhile")[10 + (round % 10)], round };
          const storage = round % 2 === 0 ? migrating : rotating;
          stored.set(await storage.storeCheckpoint(newCheckpoint({ agentId, state })), state);
        }
        return stored;
      });
      const prunes = (async () => {
        while (!done) await migrating.pruneCheckpoints({ keepLast: 8 });
      })();
      for (const storage of [migrating, rotating, migrating]) {
        expect(await target.reencrypt(storage)).toMatchObject({ unreadable: 0 });
      }
      done = true;
      const stored = await Promise.all(stores);
      await prunes;
      await target.reencrypt(rotating);
      const { checkpoints } = await rotating.stats();
      const none = { checkpoints: 0, writes: 0 };
      expect(await target.countKeys(rotating)).toEqual({
        keys: { "2026": none, "2027": { checkpoints, writes: 0 } },
        plain: none,
        unreadable: none,
      });
      const keys = { current: "2027", keys: { "2027": KEYS["2027"] }, digestKey: DIGEST_KEY };
      const reader = bench.open({ connectionString, encryption: { keys }, cacheBytes: 0 });
      for (const [index, agentId] of agents.entries()) {
        const listed = await reader.listCheckpoints({ agentId });
        expect(listed.length).toBeGreaterThan(0);
        const newest = [...(stored[index] as Map<string, unknown>).keys()].slice(-8).reverse();
        expect(listed.slice(0, newest.length).map(({ id }) => id)).toEqual(newest);
        for (const { id } of listed) {
          const back = await reader.retrieveCheckpoint(id);
          if (stored[index]?.has(id)) expect(back?.state).toEqual(stored[index].get(id));
        }
      }
    });
  });
}

/** Returns whether a text is in any file of a folder; `null`: the folder is not ours to read. */
function isInFiles(folder: string, text: string): boolean | null {
  try {
    accessSync(folder, constants.R_OK);
  } catch {
    return null;
  }
  return hasFileWith(folder, text);
}

/** Searches folder by folder: other tests drop their databases meanwhile, and one listing of all fails where a folder goes. */
function hasFileWith(folder: string, text: string): boolean {
  const entries = unlessGone(() => readdirSync(folder, { withFileTypes: true })) ?? [];
  return entries.some((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return hasFileWith(path, text);
    return entry.isFile() && unlessGone(() => readFileSync(path))?.includes(text);
  });
}

function unlessGone<Found>(read: () => Found): Found | undefined {
  try {
    return read();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
