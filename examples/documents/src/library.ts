import { createHash } from "node:crypto";
import type { Hit, Item, MemoryStorage, Thread } from "@waymark/sqlite/memory";
import { split } from "./split.ts";

export interface Source {
  /** The document's id, such as its path. */
  readonly id: string;
  readonly title: string;
  readonly markdown: string;
}

export interface PutResult {
  /** `false`: the library had exactly this document. */
  readonly isNew: boolean;
  readonly parts: number;
  /** Parts that the document no longer has. */
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

  /** Deletes the parts of a document behind a position. */
  async function removeParts(threadId: string, after: number | undefined): Promise<number> {
    for (let removed = 0; ; ) {
      const surplus = await memory.listItems({ owner, collection, threadId, after, limit: 500 });
      if (surplus.length === 0) return removed;
      const ids = surplus.map(({ id }) => id);
      removed += await memory.deleteItems(owner, ids);
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
      if (thread.metadata?.["digest"] === digest) return { isNew: false, parts: thread.items, removed: 0 };

      const texts = await split(markdown);
      let last: Item | undefined;
      for (let at = 0; at < texts.length; at += BATCH) {
        const parts = texts.slice(at, at + BATCH).map((text, index) => {
          return { owner, collection, threadId: id, key: `${id}#${at + index}`, text };
        });
        // A part that is stored is left as it is; another text under its key takes its place in the document.
        last = (await memory.addItems(parts, { replace: true })).at(-1);
        onProgress({ id, done: at + parts.length, total: texts.length });
      }
      const removed = await removeParts(id, last?.position);
      await memory.updateThread(owner, id, { title, metadata: { digest } }); // last: the document is complete
      return { isNew: true, parts: texts.length, removed };
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
