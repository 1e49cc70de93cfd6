import { inspect } from "node:util";
import type { MemoryStorage, NewItem } from "@waymark/core/memory";
import { describe, expect, it } from "vitest";
import { expectCheckpointError } from "../../../storage/errors.ts";
import { COLLECTION, newOwner, type StorageBench } from "../bench.ts";
import { newEmbedder } from "../embedders.ts";
import { newId } from "../ids.ts";

const CANARY = "canary in the cage";
/** The secret, and the ways in which it may be written. */
const SECRETS = [CANARY, "canary"].flatMap((text) => [
  text,
  Buffer.from(text).toString("hex"),
  Buffer.from(text).toString("base64").slice(0, -4),
]);

/** Returns all that a value can show, most often an error, in every way of printing it. */
function printed(value: unknown): string {
  const texts: string[] = [];
  for (let one = value; one instanceof Error; one = one.cause) {
    const own = Object.getOwnPropertyNames(one).map((name) => [name, Reflect.get(one as Error, name)]);
    texts.push(String(one), one.message, String(one.stack), JSON.stringify(Object.fromEntries(own)));
  }
  texts.push(inspect(value, { showHidden: true, depth: Number.POSITIVE_INFINITY }));
  return texts.join("\n");
}

function secretsIn(text: string): string[] {
  return SECRETS.filter((secret) => text.toLowerCase().includes(secret.toLowerCase()));
}

/** A span as it is recorded: all that it was given. */
interface RecordedSpan {
  readonly given: unknown[];
}

/**
 * Records all spans while `work` runs. OpenTelemetry's API keeps its provider in a global, so that the test needs none of its packages.
 */
async function recordSpans(work: () => Promise<void>): Promise<RecordedSpan[]> {
  const spans: RecordedSpan[] = [];
  const startSpan = (...started: unknown[]) => {
    const given: unknown[] = [...started];
    spans.push({ given });
    const context = { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331", traceFlags: 1 };
    const span: unknown = new Proxy(
      {},
      {
        get: (_, name) => {
          if (name === "spanContext") return () => context;
          if (name === "isRecording") return () => true;
          return (...args: unknown[]) => {
            given.push(name, ...args);
            return span;
          };
        },
      },
    );
    return span;
  };
  const key = Symbol.for("opentelemetry.js.api.1");
  const before = Reflect.get(globalThis, key);
  Reflect.set(globalThis, key, { version: "1.9.0", trace: { getTracer: () => ({ startSpan }) } });
  try {
    await work();
  } finally {
    Reflect.set(globalThis, key, before);
  }
  return spans;
}

function secretItem(owner: string, members: Partial<NewItem> = {}): NewItem {
  return {
    owner,
    collection: `${COLLECTION} ${CANARY}`,
    text: CANARY,
    value: { [CANARY]: CANARY },
    key: CANARY,
    role: CANARY,
    metadata: { [CANARY]: CANARY },
    embedding: [1, 2],
    ...members,
  };
}

/** Makes calls of all kinds with secrets, and returns the errors of those that fail. */
async function makeCalls(storage: MemoryStorage): Promise<unknown[]> {
  const owner = `${newOwner()} ${CANARY}`;
  const collection = `${COLLECTION} ${CANARY}`;
  const collections = [collection];
  const failing = { ...newEmbedder("m", 2), embed: async () => await Promise.reject(new TypeError("down")) };
  await storage.createThread({ owner, id: CANARY, title: CANARY, metadata: { [CANARY]: CANARY }, kind: CANARY });
  const [added] = await storage.addItems([secretItem(owner, { threadId: CANARY })], { model: "m" });
  const id = added?.id as string;
  const long = CANARY.repeat(100);
  const calls: (() => Promise<unknown>)[] = [
    () => storage.createThread({ owner, id: CANARY }),
    () => storage.createThread({ owner: long }),
    () => storage.createThread({ owner, id: long, kind: CANARY }),
    () => storage.createThread({ owner, title: `${CANARY}\0` }),
    () => storage.createThread({ owner, title: CANARY, metadata: CANARY as never }),
    () => storage.updateThread(owner, `${CANARY} absent`, { title: CANARY }),
    () => storage.updateThread(owner, CANARY, { title: CANARY }, { ifRevision: CANARY }),
    () => storage.addItems([secretItem(owner, { text: `other ${CANARY}` })]),
    () => storage.addItems([secretItem(owner, { id, key: `other ${CANARY}` })]),
    () => storage.addItems([secretItem(owner, { key: `new ${CANARY}`, threadId: `absent ${CANARY}` })]),
    () => storage.addItems([secretItem(owner, { embedding: [1, 2, 3] })]),
    () => storage.addItems([secretItem(owner, { embedding: [1, Number.NaN] })]),
    () => storage.addItems([secretItem(owner)], { model: "other" }),
    () => storage.addItems([secretItem(owner, { text: [CANARY] as never })]),
    () => storage.addItems([secretItem(owner, { value: { list: [CANARY, () => CANARY] } })]),
    () => storage.addItems([secretItem(owner, { key: long })]),
    () => storage.addItems([secretItem(owner, { role: long })]),
    () => storage.addItems([secretItem(owner, { embedding: CANARY as never })]),
    () => storage.addItems(CANARY as never),
    () => storage.updateItem(owner, id, { text: CANARY, embedding: [1] }),
    () => storage.updateItem(owner, newId(), { text: CANARY }),
    () => storage.updateItem(owner, id, { text: CANARY }, { ifRevision: CANARY }),
    () => storage.updateItem(owner, CANARY, { text: CANARY }),
    () => storage.search({ owner, collections, text: CANARY, vector: [1] }),
    () => storage.search({ owner, collections, text: CANARY, vector: [0, 0] }),
    () => storage.search({ owner, collections, text: CANARY, filter: CANARY as never }),
    () => storage.search({ owner, collections: [long], text: CANARY }),
    () => storage.listItems({ owner, collection: long }),
    () => storage.reembed({ owner, collection: `absent ${CANARY}`, embedder: newEmbedder("m", 2) }),
    () => storage.reembed({ owner, collection, embedder: newEmbedder("m", 3) }),
    async () => {
      const { failures } = await storage.reembed({ owner, collection, embedder: { ...failing, model: "n" } });
      throw failures[0]?.error;
    },
    () => storage.search({ owner, collections, text: CANARY, signal: AbortSignal.abort(CANARY) }),
    () => storage.addItems([secretItem(owner)], { signal: AbortSignal.abort(CANARY) }),
  ];
  const errors: unknown[] = [];
  for (const [at, call] of calls.entries()) {
    const error = await call().then(
      () => `call ${at} did not reject`,
      (reason: unknown) => reason,
    );
    expectCheckpointError(error, `call ${at}`);
    errors.push(error);
  }
  // These succeed: what they leave are spans.
  await storage.updateItem(owner, id, { text: `changed ${CANARY}` });
  await storage.search({ owner, collections, text: CANARY, vector: [1, 2], filter: { role: CANARY }, around: 1 });
  await storage.listItems({ owner, collection, key: CANARY });
  await storage.deleteItemsWhere({ owner, key: CANARY });
  await storage.forgetOwner(owner);
  await storage.close();
  errors.push(await storage.search({ owner, collections, text: CANARY }).catch((error: unknown) => error));
  return errors;
}

export function describeSecretsOfMemory(bench: StorageBench): void {
  describe("secrets in errors and spans", () => {
    it("are found by these tests, however deep they are", async () => {
      const revealing = new TypeError("x", { cause: Object.assign(new TypeError("y"), { detail: { deep: CANARY } }) });
      expect(secretsIn(printed(revealing))).toContain(CANARY);
    });

    it("do not show, whatever is refused", async () => {
      const storage = bench.open();
      let errors: unknown[] = [];
      const spans = await recordSpans(async () => {
        errors = await makeCalls(storage);
      });
      for (const error of errors) expect(secretsIn(printed(error)), printed(error)).toEqual([]);
      expect(spans.length).toBeGreaterThan(20);
      const names = spans.map(({ given }) => String(given[0]));
      expect(names.some((name) => name.includes("search"))).toBe(true);
      for (const { given } of spans) expect(secretsIn(printed(given)), printed(given)).toEqual([]);
      expect(secretsIn(printed(await bench.storage.status()))).toEqual([]);
    });
  });
}
