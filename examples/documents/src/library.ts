import { createHash } from "node:crypto";
import type { Hit, Item, MemoryStorage, NewItem, Thread } from "@waymark/sqlite/memory";
import { split } from "./split.ts";

export interface Source {
  /** The document's id, such as its path. */
  readonly id: string;
  readonly title: string;
  readonly markdown: string;
}

export interface PutResult {
  readonly parts: number;
  /** Parts that were embedded and written: new ones, and those whose text has changed. */
  readonly written: number;
  readonly removed: number;
}

export interface LibraryOptions {
  readonly memory: MemoryStorage;
  /** Whose documents: no search finds another owner's. */
  readonly owner: string;
  readonly onProgress?: ((progress: { id: string; done: number; total: number }) => void) | undefined;
}

/** Parts that are embedded and committed together. */
const BATCH = 200;

const collection = "documents";

/** Documents of an owner: a document is a thread, and its parts are the thread's items, with the keys `<id>#0`, `<id>#1` and so on. */
export function createLibrary({ memory, owner, onProgress = () => {} }: LibraryOptions) {
  async function threadOf({ id, title }: Source): Promise<Thread> {
    return (await memory.getThread(owner, id)) ?? (await memory.createThread({ owner, id, kind: "document", title }));
  }

  /** Reads the parts of a document that are stored, by their keys. */
  async function storedParts(threadId: string): Promise<Map<string, Item>> {
    const parts = new Map<string, Item>();
    for (let after: number | undefined; ; ) {
      const page = await memory.listItems({ owner, collection, threadId, after, limit: 500 });
      for (const item of page) parts.set(item.key ?? item.id, item);
      if (page.length < 500) return parts;
      after = page.at(-1)?.position;
    }
  }

  return {
    /**
     * Puts a document into the library, or brings it up to date. Only parts whose text is new are embedded. It may be interrupted at any
     * moment, and goes on where it was when it is called again.
     */
    async put(source: Source): Promise<PutResult> {
      const { id, title, markdown } = source;
      const digest = createHash("sha256").update(`${title}\0${markdown}`).digest("hex");
      const thread = await threadOf(source);
      if (thread.metadata?.["digest"] === digest) return { parts: thread.items, written: 0, removed: 0 };

      const texts = await split(markdown);
      const stored = await storedParts(id);
      const changed = texts.flatMap((text, at): NewItem[] => {
        const key = `${id}#${at}`;
        return stored.get(key)?.text === text ? [] : [{ owner, collection, threadId: id, key, text }];
      });
      for (let at = 0; at < changed.length; at += BATCH) {
        await memory.addItems(changed.slice(at, at + BATCH), { replace: true }); // each keeps its place in the document
        onProgress({ id, done: Math.min(at + BATCH, changed.length), total: changed.length });
      }
      const keys = new Set(texts.map((_, at) => `${id}#${at}`));
      const surplus = [...stored].filter(([key]) => !keys.has(key)).map(([, item]) => item.id);
      const removed = await memory.deleteItems(owner, surplus);
      await memory.updateThread(owner, id, { title, metadata: { digest } }); // last: the document is complete
      return { parts: texts.length, written: changed.length, removed };
    },

    /** Finds parts by their words and by meaning, each with its neighbours in the document. */
    async find(question: string, limit = 3): Promise<Hit[]> {
      return await memory.search({ owner, collections: [collection], text: question, limit, around: 1 });
    },

    /** Lists the documents, the last changed one first. */
    list: () => memory.listThreads({ owner, kind: "document", limit: 1_000 }),

    /** Deletes a document with all its parts. */
    remove: (id: string) => memory.deleteThread(owner, id),

    /** Deletes all that the owner has. */
    forget: () => memory.forgetOwner(owner),
  };
}
