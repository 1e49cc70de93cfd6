import { type CheckpointStorage, createReplicatedStorage, type ListQuery, reencryptCheckpoints } from "@waymark/core";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { encrypted, pair, plain, ringOf } from "../src/contents.mjs";
import { type Checkpoint, contentsAfter, type Step, take } from "../src/steps.mjs";
import { type Database, type Engine, open, openMemory, unreachable } from "./databases.ts";
import { expectContents, itemOf, newestFirst } from "./expect-contents.ts";
import {
  encryptedByOld,
  encryptedByOurs,
  pairByOld,
  pairByOurs,
  plainByOld,
  plainByOurs,
  plainByOursAgain,
} from "./later.ts";
import { type OldProcess, type OldStorage, startOldProcess } from "./old-process.ts";
import { chainOf, damage, keysOfWrites, rowsOf, type StoredRow, writesOf } from "./rows.ts";

/** Options that keep tombstones for ever: those of the databases get older than the default retention. */
const replication = { tombstoneRetentionMs: Number.MAX_SAFE_INTEGER };

/** Describes the compatibility with what commit 793ce5e has written, on one kind of database. */
export function describeCompatibility({ title, isAvailable, load }: Engine): void {
  describe.skipIf(!isAvailable)(`${title}, as commit 793ce5e has written it`, () => {
    let old: OldProcess;
    beforeAll(async () => {
      old = await startOldProcess();
    });
    afterAll(() => old?.stop());

    describe("a store", () => {
      const options = { tablePrefix: "plain_" };
      const written = [plain.first, plain.second];

      it("holds full rows and deltas of both forms, skip deltas, and deltas whose first base was deleted", async () => {
        const rows = await rowsOf(await load(), "plain_");
        const encodings = new Set(
          rows.map(({ baseId, encoding }) => `${baseId === null ? "full" : "delta"} ${encoding}`),
        );
        expect([...encodings]).toEqual(expect.arrayContaining(KINDS_OF_ROWS));
        const idOf = (turn: number) => plain.turns[turn - 1];
        const baseOf = (turn: number) => rows.find(({ id }) => id === idOf(turn))?.baseId;
        expect([20, 21, 33, 66].map((turn) => rows.some(({ id }) => id === idOf(turn)))).not.toContain(true);
        // Both were deltas to deleted rows. Now one is a delta to the row before that, the other took its place as a skip delta.
        expect(baseOf(22)).toBe(idOf(19));
        expect(baseOf(34)).toBe(idOf(1));
        expect(chainOf(rows, idOf(90) as string).length).toBeGreaterThan(20);
      });

      it("reads back equal after its migration, which adds the settings", async () => {
        const { place } = await load();
        const storage = open(place, options);
        expect(await storage.migrate()).toEqual(["0002_settings", "0003_labels"]);
        await expectContents(storage, contentsAfter(...written));
      });

      it("has the same statistics as its rows", async () => {
        const database = await load();
        const storage = open(database.place, options);
        const rows = await rowsOf(database, "plain_");
        expect(await storage.stats()).toEqual(statsOf(rows, rows));
        const ofHistorian = rows.filter(({ agentId }) => agentId === "historian");
        expect(await storage.stats({ agentId: "historian" })).toEqual(statsOf(ofHistorian, rows));
      });

      it("is filtered by names, labels, parents and ids", async () => {
        const storage = open((await load()).place, options);
        const all = [...contentsAfter(...written).checkpoints.values()].sort(newestFirst);
        const [since, before] = [plain.turns[9] as string, plain.turns[70] as string];
        const phase = { phase: "review", note: null, isFinal: true };
        for (const [query, matches] of [
          [
            { agentId: "historian", name: "branch" },
            ({ agentId, name }) => agentId === "historian" && name === "branch",
          ],
          [
            { agentId: "historian", metadata: phase },
            ({ agentId, metadata }) =>
              agentId === "historian" && metadata?.["phase"] === "review" && metadata["isFinal"] === true,
          ],
          [
            { agentId: "labels", metadata: { nul: "\0", surrogate: "\ud800" } },
            ({ metadata }) => metadata?.["nul"] === "\0",
          ],
          [
            { agentId: "labels", metadata: { minus: -0 } },
            ({ metadata }) => metadata !== undefined && "minus" in metadata,
          ],
          [
            { agentId: "historian", parentId: plain.turns[29] as string },
            ({ parentId }) => parentId === plain.turns[29],
          ],
          [{ since, before, limit: 10_000 }, ({ id }) => id > since && id < before],
        ] satisfies [ListQuery, (checkpoint: Checkpoint) => boolean][]) {
          const expected = all.filter(matches).map(itemOf);
          expect(expected.length).toBeGreaterThan(0);
          expect(await storage.listCheckpoints(query)).toStrictEqual(expected);
        }
      });

      it("names a damaged row when it is read, and when a delta to it is read", async () => {
        const database = await load();
        const [base, delta] = [plain.turns[69] as string, plain.turns[70] as string];
        expect(chainOf(await rowsOf(database, "plain_"), delta)[1]?.id).toBe(base);
        await damage(database, "plain_", base);
        const storage = open(database.place, options);
        for (const id of [base, delta]) {
          const error = { code: "CORRUPT_CHECKPOINT", message: expect.stringContaining(base) };
          await expect(storage.retrieveCheckpoint(id)).rejects.toMatchObject(error);
        }
        expect(await storage.listCheckpoints({ agentId: "historian", before: delta, limit: 1 })).toHaveLength(1);
      });

      it("stores new checkpoints as deltas to its rows", async () => {
        const database = await load();
        const known = new Set((await rowsOf(database, "plain_")).map(({ id }) => id));
        await take(open(database.place, options), plainByOurs.steps);
        const rows = await rowsOf(database, "plain_");
        const next = rows.find(({ id }) => id === plainByOurs.turns[90]);
        expect(known).toContain(next?.baseId);
        expect(next?.storedBytes).toBeLessThan((next?.stateBytes ?? 0) / 10);
      });

      it("refuses a store with `ifLatest` unless it names the latest checkpoint", async () => {
        const storage = open((await load()).place, options);
        const latest = plain.small.at(-1) as string;
        const next = { agentId: "counter", name: "next", state: 1, createdAt: 1 };
        for (const ifLatest of [null, plain.small[0] as string]) {
          await expect(storage.storeCheckpoint(next, { ifLatest })).rejects.toMatchObject({ code: "CONFLICT" });
        }
        const id = await storage.storeCheckpoint(next, { ifLatest: latest });
        expect(id > latest).toBe(true);
        await expect(storage.storeCheckpoint(next, { ifLatest: latest })).rejects.toMatchObject({ code: "CONFLICT" });
      });

      it("accepts a repeated store, and refuses one of other content under the same id", async () => {
        const storage = open((await load()).place, options);
        const checkpoint = contentsAfter(...written).checkpoints.get(plain.turns[89] as string) as Checkpoint;
        expect(await storage.storeCheckpoint(checkpoint)).toBe(checkpoint.id);
        const other = { ...checkpoint, state: { other: true } };
        await expect(storage.storeCheckpoint(other)).rejects.toMatchObject({ code: "CONFLICT" });
      });

      it("is written by today's packages and by a process of that commit in turns, and reads back equal in both", async () => {
        const { place } = await load();
        const ours = open(place, options);
        const theirs = await openOld(old, place, options);
        const contentsBy = (...chapters: { readonly steps: readonly Step[] }[]) =>
          contentsAfter(...written, ...chapters.map(({ steps }) => steps));

        await take(ours, plainByOurs.steps);
        await expectContents(theirs, contentsBy(plainByOurs));
        await take(theirs, plainByOld.steps);
        const afterTheirs = contentsBy(plainByOurs, plainByOld);
        await expectContents(ours, afterTheirs);
        await expectContents(open(place, options), afterTheirs); // with an empty cache
        await take(ours, plainByOursAgain.steps);
        const inTheEnd = contentsBy(plainByOurs, plainByOld, plainByOursAgain);
        await expectContents(theirs, inTheEnd);
        await expectContents(open(place, options), inTheEnd);
        expect(await theirs.stats()).toEqual(await ours.stats());
        expect(await theirs.migrate("verify")).toEqual([]);
      });
    });

    describe("a memory beside it", () => {
      const tablePrefix = "plain_";
      const tablesOf = async ({ run, listTables }: Database) =>
        (await run(listTables)).map((row) => String(row["name"] ?? row["NAME"])).sort();
      const ADDED = [
        ...["items", "signatures", "spaces", "terms", "threads", "vectors"].map((name) => `plain_agent_memory_${name}`),
        "plain_waymark_memory_migrations",
      ];

      it("gets tables and a migration history of its own, and changes nothing else", async () => {
        const database = await load();
        const [tables, rows] = [await tablesOf(database), await rowsOf(database, tablePrefix)];
        const memory = openMemory(database.place, { tablePrefix });
        await memory.addItems([{ owner: "historian", collection: "notes", text: "The siege began in spring." }]);
        const hits = await memory.search({ owner: "historian", collections: ["notes"], text: "spring" });
        expect(hits.map(({ item }) => item.text)).toEqual(["The siege began in spring."]);
        expect(await tablesOf(database)).toEqual([...tables, ...ADDED].sort());
        expect(await rowsOf(database, tablePrefix)).toEqual(rows);
        // The migrations of checkpoints are still the ones of that commit.
        await using storage = open(database.place, { tablePrefix });
        expect(await storage.migrate("verify").catch(({ code }) => code)).toBe("SCHEMA_OUTDATED");
        const theirs = await openOld(old, database.place, { tablePrefix });
        await expectContents(theirs, contentsAfter(plain.first, plain.second));
        expect(await memory.forgetOwner("historian")).toEqual({ threads: 0, items: 1 });
        await expectContents(theirs, contentsAfter(plain.first, plain.second));
      });

      it("is made by the statements that verify names, under any prefix", async () => {
        const database = await load();
        const verifying = openMemory(database.place, { tablePrefix: "other_", migrate: "verify" });
        const error = await verifying.getCollection("o", "c").catch((reason: unknown) => reason);
        expect(error).toMatchObject({ code: "SCHEMA_OUTDATED" });
        const { sql } = error as { sql: readonly string[] };
        expect(await verifying.migrate("sql")).toHaveLength(sql.length);
        expect(await openMemory(database.place, { tablePrefix: "other_" }).migrate()).toEqual(["0000_initial"]);
        expect(await verifying.getCollection("o", "c")).toBeNull();
      });
    });

    describe("an encrypted store", () => {
      const written = [encrypted.first, encrypted.second];
      const encryptedWith = (...names: string[]) => ({ tablePrefix: "enc_", encryption: { keys: ringOf(...names) } });
      const bothKeys = encryptedWith("2026-10", "2026-11");

      it("holds rows and task writes of two keys, including deltas and skip deltas", async () => {
        const database = await load();
        const rows = await rowsOf(database, "enc_");
        expect(new Set(rows.map(({ keyName }) => keyName))).toEqual(new Set(["2026-10", "2026-11"]));
        expect(new Set(await keysOfWrites(database, "enc_"))).toEqual(new Set(["2026-10", "2026-11"]));
        expect(rows.map(({ encoding }) => encoding)).toEqual(
          expect.arrayContaining([
            expect.stringMatching(/\+anchor\+sealed$/),
            expect.stringMatching(/^tagged.*\+sealed$/),
          ]),
        );
      });

      it("reads back equal with both keys, and cannot be read without one of them", async () => {
        const { place } = await load();
        await expectContents(open(place, bothKeys), contentsAfter(...written));
        const without = open(place, encryptedWith("2026-11"));
        const error = { code: "ENCRYPTION_MISMATCH" };
        await expect(without.retrieveCheckpoint(encrypted.turns[0] as string)).rejects.toMatchObject(error);
        const unencrypted = open(place, { tablePrefix: "enc_" });
        await expect(unencrypted.retrieveCheckpoint(encrypted.turns[0] as string)).rejects.toMatchObject(error);
      });

      it("is written by today's packages, then by a process of that commit, and reads back equal in both", async () => {
        const { place } = await load();
        const ours = open(place, bothKeys);
        const theirs = await openOld(old, place, bothKeys);
        await take(ours, encryptedByOurs.steps);
        await expectContents(theirs, contentsAfter(...written, encryptedByOurs.steps));
        await take(theirs, encryptedByOld.steps);
        const inTheEnd = contentsAfter(...written, encryptedByOurs.steps, encryptedByOld.steps);
        await expectContents(ours, inTheEnd);
        await expectContents(open(place, bothKeys), inTheEnd);
      });

      it("is re-encrypted with the next key, after which a process of that commit needs only this key", async () => {
        const database = await load();
        const { place } = database;
        await take(open(place, bothKeys), encryptedByOurs.steps);
        const count = contentsAfter(...written, encryptedByOurs.steps).checkpoints.size;
        const due = (await rowsOf(database, "enc_")).filter(({ keyName }) => keyName === "2026-10").length;
        const done = await reencryptCheckpoints(open(place, bothKeys));
        expect(done).toEqual({ examined: count, rewritten: due, unreadable: 0 });
        expect(await keysOf(database)).toEqual(["2026-11"]);
        const theirs = await openOld(old, place, encryptedWith("2026-11"));
        const contents = contentsAfter(...written, encryptedByOurs.steps);
        await expectContents(theirs, contents);
        await expectContents(open(place, encryptedWith("2026-11")), contents);

        // The other way round: the old process re-encrypts.
        const next = await openOld(old, place, encryptedWith("2026-11", "2026-12"));
        expect(await old.reencrypt(next)).toEqual({ examined: count, rewritten: count, unreadable: 0 });
        expect(await keysOf(database)).toEqual(["2026-12"]);
        await expectContents(open(place, encryptedWith("2026-12")), contents);
      });

      async function keysOf(database: Database): Promise<string[]> {
        const ofRows = (await rowsOf(database, "enc_")).map(({ keyName }) => keyName);
        return [...new Set([...ofRows, ...(await keysOfWrites(database, "enc_"))])];
      }
    });

    describe("main and backup", () => {
      const { both, withoutBackup, withoutMain } = pair;
      const main = { tablePrefix: "main_" };
      const backup = { tablePrefix: "backup_" };

      const openPair = ({ place }: Database) => replicate(open(place, main), open(place, backup));
      const openOldPair = async ({ place }: Database) => {
        const [inMain, inBackup] = [await openOld(old, place, main), await openOld(old, place, backup)];
        return await replicateOld(inMain, inBackup);
      };

      async function replicateOld(inMain: OldStorage, inBackup: OldStorage): Promise<OldStorage> {
        const storage = await old.replicate(inMain, inBackup, replication);
        onTestFinished(async () => void (await storage.close()));
        return storage;
      }

      it("hold tombstones, and in their outboxes rows, task writes and tombstones that the other database lacks", async () => {
        const database = await load();
        const [inMain, inBackup] = [await rowsOf(database, "main_"), await rowsOf(database, "backup_")];
        const idsOf = (rows: StoredRow[], matches: (row: StoredRow) => boolean) =>
          rows.filter(matches).map(({ id }) => id);
        const tombstones = contentsAfter(both, withoutBackup).deleted;
        const sent = contentsAfter(both).deleted;
        const unsent = [...tombstones].filter((id) => !sent.has(id));
        const isTombstone = ({ agentId }: StoredRow) => agentId === "";
        expect(new Set(idsOf(inMain, isTombstone))).toEqual(tombstones);
        expect(new Set(idsOf(inBackup, isTombstone))).toEqual(sent);
        expect(new Set(idsOf(inMain, (row) => isTombstone(row) && row.isPending))).toEqual(new Set(unsent));
        expect(unsent.length).toBeGreaterThan(2);
        expect(new Set(idsOf(inMain, (row) => row.isPending))).toEqual(
          new Set([...changedBy(withoutBackup), ...unsent]),
        );
        expect(new Set(idsOf(inBackup, (row) => row.isPending))).toEqual(changedBy(withoutMain));

        const { providers } = await openPair(database).status();
        expect(providers.main.backlog?.rows).toBe(inMain.filter(({ isPending }) => isPending).length);
        expect(providers.backup?.backlog?.rows).toBe(inBackup.filter(({ isPending }) => isPending).length);
      });

      it("read back equal, each on its own", async () => {
        const { place } = await load();
        await expectContents(open(place, main), contentsAfter(both, withoutBackup));
        await expectContents(open(place, backup), contentsAfter(both, withoutMain));
      });

      it("send each other the rows in their outboxes, and are equal afterwards", async () => {
        const database = await load();
        await sendAll(openPair(database));
        await expectEqualSides(database);
        const contents = contentsAfter(both, withoutBackup, withoutMain);
        await expectContents(open(database.place, main), contents);
        await expectContents(open(database.place, backup), contents);
        await expectContents(openPair(database), contents);
      });

      it("refuse to store or append to deleted checkpoints", async () => {
        const database = await load();
        const storage = openPair(database);
        const contents = contentsAfter(both, withoutBackup, withoutMain);
        const stored = contentsAfter([...both, ...withoutBackup].filter((step) => "store" in step)).checkpoints;
        for (const id of contents.deleted) {
          const late = stored.get(id) as Checkpoint;
          await expect(storage.storeCheckpoint(late)).rejects.toMatchObject({ code: "CONFLICT" });
        }
        const [, second = ""] = pair.worker;
        const write = { taskId: "task a", index: 0, channel: "messages", value: "too late" };
        await expect(storage.appendWrites(second, [write])).rejects.toMatchObject({ code: "NOT_FOUND" });
        await storage.reconcile();
        const nothing = { copiedToBackup: 0, copiedToMain: 0, deleted: 0, conflicts: 0, damaged: 0, refused: 0 };
        expect(await storage.reconcile()).toEqual({ compared: contents.checkpoints.size, ...nothing });
        await expectEqualSides(database);
        await expectContents(storage, contents);
      });

      it("get from a process of that commit the rows that today's packages left in their outboxes", async () => {
        const database = await load();
        const { place } = database;
        await use(replicate(open(place, main), open(unreachable.place, unreachable.options)), pairByOurs.withoutBackup);
        await use(replicate(open(unreachable.place, unreachable.options), open(place, backup)), pairByOurs.withoutMain);
        expect((await rowsOf(database, "main_")).filter(({ isPending }) => isPending).length).toBeGreaterThan(0);
        await sendAll(await openOldPair(database));
        await expectEqualSides(database);
        const contents = contentsAfter(
          both,
          ...[withoutBackup, withoutMain],
          ...[pairByOurs.withoutBackup, pairByOurs.withoutMain],
        );
        await expectContents(await openOldPair(database), contents);
        await expectContents(openPair(database), contents);
      });

      it("get from today's packages the rows that a process of that commit left in their outboxes", async () => {
        const database = await load();
        const { place } = database;
        await sendAll(openPair(database));
        const none = await openOld(old, unreachable.place, unreachable.options);
        await use(await replicateOld(await openOld(old, place, main), none), pairByOld.withoutBackup);
        const noMain = await openOld(old, unreachable.place, unreachable.options);
        await use(await replicateOld(noMain, await openOld(old, place, backup)), pairByOld.withoutMain);
        await sendAll(openPair(database));
        await expectEqualSides(database);
        const contents = contentsAfter(
          both,
          ...[withoutBackup, withoutMain],
          ...[pairByOld.withoutBackup, pairByOld.withoutMain],
        );
        await expectContents(openPair(database), contents);
        await expectContents(await openOldPair(database), contents);
      });
    });
  });
}

/** Kinds of rows and their stored encodings. The plain store has some of each. */
const KINDS_OF_ROWS = [
  "full json",
  "full json+pieces+deflate",
  "full tagged",
  "full tagged+pieces+deflate",
  "delta json+pieces",
  "delta json+pieces+deflate",
  "delta json+pieces+deflate+anchor",
  "delta tagged+pieces+deflate",
];

async function openOld(old: OldProcess, ...args: Parameters<OldProcess["open"]>): Promise<OldStorage> {
  const storage = await old.open(...args);
  onTestFinished(async () => void (await storage.close()));
  return storage;
}

function replicate(main: CheckpointStorage, backup: CheckpointStorage) {
  const storage = createReplicatedStorage({ main, backup, ...replication });
  onTestFinished(async () => void (await storage.close()));
  return storage;
}

/** Takes steps and closes the storage, as one process would. Rows that it cannot send stay in the outbox. */
async function use(storage: CheckpointStorage | OldStorage, steps: readonly Step[]): Promise<void> {
  await take(storage, steps);
  await storage.close({ timeoutMs: 1_000 });
}

/** Lets main and backup send each other the rows in their outboxes. */
async function sendAll(storage: CheckpointStorage | OldStorage): Promise<void> {
  await storage.listAgents(); // replication begins with the first call
  expect(await storage.close({ timeoutMs: 60_000 })).toEqual({ unsent: { toBackup: 0, toMain: 0 } });
}

/** Returns the ids of checkpoints that these steps store or append to. */
function changedBy(steps: readonly Step[]): Set<string> {
  return new Set(steps.flatMap((step) => ("store" in step ? [step.store.id] : "append" in step ? [step.to] : [])));
}

/** Computes the statistics of rows. `all`: rows that include their bases. */
function statsOf(rows: readonly StoredRow[], all: readonly StoredRow[]) {
  const sum = (name: "storedBytes" | "stateBytes") => rows.reduce((total, row) => total + row[name], 0);
  const longestChain = Math.max(...rows.map(({ id }) => chainOf(all, id).length));
  return { checkpoints: rows.length, storedBytes: sum("storedBytes"), stateBytes: sum("stateBytes"), longestChain };
}

/** Expects empty outboxes, and the same rows, task writes and tombstones in main and backup. */
async function expectEqualSides(database: Database): Promise<void> {
  const [inMain, inBackup] = [await rowsOf(database, "main_"), await rowsOf(database, "backup_")];
  expect([...inMain, ...inBackup].filter(({ isPending }) => isPending)).toEqual([]);
  const summariesOf = (rows: StoredRow[]) =>
    rows.map(({ id, agentId, content }) => `${id} ${agentId === "" ? "deleted" : content}`);
  expect(summariesOf(inBackup)).toEqual(summariesOf(inMain));
  expect(await writesOf(database, "backup_")).toEqual(await writesOf(database, "main_"));
}
