import { randomBytes, randomUUID } from "node:crypto";
import { accessSync, constants, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { CheckpointStorage, EncryptionOptions, NamedAgentCheckpoint } from "../src/contract/checkpoints.ts";

/** One kind of server: as its package's tests have it. */
export interface EncryptionServer {
  readonly title: string;
  newDatabase(): Promise<{ readonly url: string }>;
  open(options: {
    readonly connectionString: string;
    readonly encryption?: EncryptionOptions;
    readonly cacheBytes?: number;
  }): CheckpointStorage;
  checkpoint(members: Partial<NamedAgentCheckpoint>): NamedAgentCheckpoint;
  /** `reencryptCheckpoints` of the package under test. */
  reencrypt(storage: CheckpointStorage): Promise<{ readonly unreadable: number }>;
  /** Where the server keeps its files, when what was committed is in them. */
  folderOf(url: string): Promise<string>;
}

const KEYS = { "2026": randomBytes(32), "2027": randomBytes(32) };
const DIGEST_KEY = randomBytes(32);
const encryption = (current: keyof typeof KEYS, migrate = false): EncryptionOptions => {
  return { keys: { current, keys: KEYS, digestKey: DIGEST_KEY }, migrate };
};

/** Some are stored whole, some as differences; some compressed, some not. */
const states = (canary: string) =>
  Array.from({ length: 20 }, (_, turn) => ({
    canary,
    turns: Array.from({ length: turn * 4 }, (__, at) => ({
      at,
      text: `${canary} ${at}`,
      more: "of the same".repeat(9),
    })),
  }));

/** Whether a text is in any file of the server; `null`: its files are not ours to read. */
function isInFiles(folder: string, text: string): boolean | null {
  try {
    accessSync(folder, constants.R_OK);
  } catch {
    return null;
  }
  return hasFileWith(folder, text);
}

/** Folder by folder: other tests drop their databases meanwhile, and a listing of all at once fails where one goes. */
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

/** What encryption is for, on a server: its files, and keys that change while it is in use. */
export function describeEncryption({
  title,
  newDatabase,
  open,
  checkpoint,
  reencrypt,
  folderOf,
}: EncryptionServer): void {
  describe(title, () => {
    it("leave no piece of a state in the server's files, where plain ones do", async ({ skip }) => {
      const { url: connectionString } = await newDatabase();
      const [plain, secret] = [`canary ${randomUUID()}`, `canary ${randomUUID()}`];
      // One alone may be cut in two: the servers' logs put headers between their blocks.
      const unprotected = open({ connectionString });
      for (let turn = 0; turn < 20; turn++) await unprotected.storeCheckpoint(checkpoint({ state: plain }));
      const found = isInFiles(await folderOf(connectionString), plain);
      if (found === null) skip("the server's files cannot be read from here");
      expect(found).toBe(true);
      const another = await newDatabase(); // with keys, one that has plain checkpoints is refused
      const storage = open({ connectionString: another.url, encryption: encryption("2026") });
      for (const state of [...states(secret), secret]) await storage.storeCheckpoint(checkpoint({ state }));
      await storage.pruneCheckpoints({ agentId: "agent", keepLast: 5 });
      expect(await storage.retrieveLatestCheckpoint("agent")).toMatchObject({ state: secret });
      expect(isInFiles(await folderOf(another.url), secret)).toBe(false);
    });

    it("come from plain ones and get new keys while stores and prunes go on", async () => {
      const { url: connectionString } = await newDatabase();
      const agents = ["one", "two", "three"];
      const plain = open({ connectionString });
      for (const agentId of agents) {
        for (const state of states("before")) await plain.storeCheckpoint(checkpoint({ agentId, state }));
      }
      let done = false;
      const migrating = open({ connectionString, encryption: encryption("2026", true) });
      const rotating = open({ connectionString, encryption: encryption("2027", true), cacheBytes: 0 });
      const stores = agents.map(async (agentId) => {
        const stored = new Map<string, unknown>();
        for (let round = 0; !done; round++) {
          const state = { ...states("meanwhile")[10 + (round % 10)], round };
          const storage = round % 2 === 0 ? migrating : rotating;
          stored.set(await storage.storeCheckpoint(checkpoint({ agentId, state })), state);
        }
        return stored;
      });
      const prunes = (async () => {
        while (!done) await migrating.pruneCheckpoints({ keepLast: 8 });
      })();
      for (const storage of [migrating, rotating, migrating]) {
        expect(await reencrypt(storage)).toMatchObject({ unreadable: 0 });
      }
      done = true;
      const stored = await Promise.all(stores);
      await prunes;
      await reencrypt(rotating);
      const keys = { current: "2027", keys: { "2027": KEYS["2027"] }, digestKey: DIGEST_KEY };
      const reader = open({ connectionString, encryption: { keys }, cacheBytes: 0 });
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
