import { newRevision } from "../database/ids.ts";
import { insertRecords, removeRecords } from "../records/records.ts";
import type { CheckedThread, checkDeleteThreadOptions, checkThreadChange, checkThreadQuery } from "./arguments.ts";
import type { Thread } from "./contract.ts";
import { MAX_ATTEMPTS, type MemoryEngine, tryChange } from "./engine.ts";
import { changedTooOften, conflict, noSuch } from "./failures.ts";
import { clearUnnamed } from "./forget.ts";
import { decodeLabels } from "./items.ts";
import { Analyses } from "./postings.ts";
import { removePage } from "./remove.ts";
import { inPieces, spacesOf } from "./spaces.ts";
import { THREADS, type ThreadRow } from "./tables.ts";

/** Threads: conversations and documents. */

export async function createThread(
  engine: MemoryEngine,
  thread: CheckedThread,
  signal: AbortSignal | undefined,
): Promise<Thread> {
  const { dialect, session } = engine;
  const operation = "create thread";
  const now = Date.now();
  const { createdAt, ...given } = thread;
  const row: ThreadRow = {
    ...given,
    items: 0,
    createdAt: createdAt ?? now,
    updatedAt: now,
    revision: newRevision(),
    pending: null,
  };
  return await session.run(operation, signal, async (deadline) => {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      if (await tryChange(engine, [insertRecords(THREADS, [row])], deadline)) return threadOf(operation, row);
      const where = { owner: row.owner, id: row.id };
      const [stored] = await dialect.records.find(THREADS, { where, limit: 1 }, deadline);
      if (stored === undefined) continue; // deleted meanwhile
      // The same content: a call that is repeated, by its caller or since a connection was lost after the commit.
      if (isSame(thread, stored)) return threadOf(operation, stored);
      throw conflict(operation, "the owner has another thread with this id");
    }
    throw changedTooOften(operation);
  });
}

/** Returns whether a thread has the content of a stored one. */
function isSame({ kind, title, metadata, createdAt }: CheckedThread, row: ThreadRow): boolean {
  const isSameTime = createdAt === null || createdAt === row.createdAt;
  return kind === row.kind && title === row.title && metadata === row.metadata && isSameTime;
}

export async function getThread(
  { dialect, session }: MemoryEngine,
  owner: string,
  id: string,
  signal: AbortSignal | undefined,
): Promise<Thread | null> {
  return await session.run("get thread", signal, async (deadline) => {
    const [row] = await dialect.records.find(THREADS, { where: { owner, id }, limit: 1 }, deadline);
    return row === undefined ? null : threadOf("get thread", row);
  });
}

export async function threadExists(
  { dialect }: MemoryEngine,
  owner: string,
  id: string,
  signal: AbortSignal,
): Promise<boolean> {
  return (await dialect.records.count(THREADS, { owner, id }, signal)) > 0;
}

export async function listThreads(
  { dialect, session }: MemoryEngine,
  query: ReturnType<typeof checkThreadQuery>,
): Promise<Thread[]> {
  const { owner, kind, labels, before, limit, signal } = query;
  return await session.run("list threads", signal, async (deadline) => {
    const rows = await dialect.records.find(
      THREADS,
      {
        where: { owner, ...(kind !== null && { kind }), ...(labels.length > 0 && { metadata: { contains: labels } }) },
        order: [
          ["updatedAt", "desc"],
          ["id", "desc"],
        ],
        ...(before !== null && { after: [before.updatedAt, before.id] }),
        limit,
      },
      deadline,
    );
    return rows.map((row) => threadOf("list threads", row));
  });
}

export async function updateThread(
  { dialect, session }: MemoryEngine,
  { owner, id }: { readonly owner: string; readonly id: string },
  change: ReturnType<typeof checkThreadChange>,
  { ifRevision, signal }: { readonly ifRevision: string | null; readonly signal?: AbortSignal },
): Promise<Thread> {
  const operation = "update thread";
  const revision = newRevision();
  return await session.run(operation, signal, async (deadline) => {
    let isOther = false;
    const updated = await dialect.records.modify(
      THREADS,
      { owner, id },
      (row) => {
        if (row.revision === revision) return null; // a connection was lost after the commit, and this is the call's own retry
        isOther = ifRevision !== null && row.revision !== ifRevision;
        return isOther ? null : { ...change, updatedAt: Date.now(), revision };
      },
      deadline,
    );
    if (updated === null) throw noSuch(operation, "thread with this id");
    if (isOther) throw conflict(operation, "it has another revision");
    return threadOf(operation, updated);
  });
}

/** Deletes a thread, items first. It goes when it has none left: an item that is added meanwhile is deleted too. */
export async function deleteThread(
  engine: MemoryEngine,
  { owner, id }: { readonly owner: string; readonly id: string },
  { ifEmpty, signal }: ReturnType<typeof checkDeleteThreadOptions>,
): Promise<boolean> {
  const { dialect, session } = engine;
  const operation = "delete thread";
  const ifItIsEmpty = [removeRecords(THREADS, { owner, id, items: 0 }, 1)];
  let wasThere = false; // also where a connection was lost after the commit, and the retry finds none
  if (ifEmpty) {
    return await session.run(operation, signal, async (deadline) => {
      if (!(await threadExists(engine, owner, id, deadline))) return wasThere;
      wasThere = true;
      return (await dialect.records.change(ifItIsEmpty, deadline)) !== null;
    });
  }
  for (let attempt = 0; attempt < MAX_ATTEMPTS; ) {
    const analyses = new Analyses();
    const state = await session.run(operation, signal, async (deadline) => {
      if (!(await threadExists(engine, owner, id, deadline))) return "absent";
      wasThere = true;
      for (const space of inPieces(await spacesOf(engine, owner, null, deadline))) {
        const { found } = await removePage(engine, operation, { space, thread: id }, analyses, deadline);
        if (found > 0) return "emptied some";
      }
      return (await dialect.records.change(ifItIsEmpty, deadline)) === null ? "in use" : "removed";
    });
    if (state === "absent") return wasThere;
    if (state === "removed") return true;
    if (state === "in use") {
      attempt += 1;
      await clearUnnamed(engine, operation, owner, signal); // left by a call that was interrupted
    }
  }
  throw changedTooOften(operation);
}

function threadOf(operation: string, row: ThreadRow): Thread {
  const { owner, id, kind, title, metadata, createdAt, updatedAt, items, revision } = row;
  return {
    owner,
    id,
    kind,
    ...(title !== null && { title }),
    ...(metadata !== null && { metadata: decodeLabels(operation, "the thread", metadata) }),
    createdAt,
    updatedAt,
    items,
    revision,
  };
}
