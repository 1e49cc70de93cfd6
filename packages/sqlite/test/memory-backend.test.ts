import { CheckpointError, type CheckpointErrorCode } from "@waymark/core";
import {
  createConversationRepository,
  createDocumentRepository,
  createSQLiteMemory,
  createStorageBackend,
  type Embedder,
  type MemoryStorage,
} from "@waymark/sqlite/memory";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { failure } from "./fixtures.ts";

let memory: MemoryStorage;
beforeEach(() => {
  memory = createSQLiteMemory({ databasePath: ":memory:" });
});
afterEach(() => memory.close());

/** Expects a call to be refused by the name of the member, and to have written nothing. */
async function expectRefusal(call: Promise<unknown>, message: RegExp): Promise<void> {
  expect(await failure(call)).toMatchObject({ code: "INVALID_ARGUMENT", message: expect.stringMatching(message) });
  expect(await memory.listThreads({ owner: "ann" })).toEqual([]);
}

const codeOf = async (call: Promise<unknown>): Promise<CheckpointErrorCode> => (await failure(call)).code;

describe("a storage backend", () => {
  const backend = () => createStorageBackend(memory, { userId: "ann" });
  const conversation = { id: "c1", userId: "ann", channelId: "telegram", model: "m1", metadata: { topic: "tea" } };

  it("saves a conversation, and saves it again with what has changed", async () => {
    const storage = backend();
    await storage.saveConversation({ ...conversation, title: "Tea", createdAt: 5 });
    expect(await storage.getConversation("c1")).toEqual({
      ...conversation,
      title: "Tea",
      createdAt: 5,
      updatedAt: expect.any(Number),
      items: 0,
    });

    await storage.addMessage("c1", { role: "user", content: "hello" });
    await storage.saveConversation({ id: "c1", userId: "ann", model: "m2" });
    expect(await storage.getConversation("c1")).toEqual({
      id: "c1",
      userId: "ann",
      title: "Tea",
      model: "m2",
      createdAt: 5,
      updatedAt: expect.any(Number),
      items: 1,
    });
    expect(await memory.listThreads({ owner: "ann", metadata: { model: "m2" } })).toHaveLength(1);

    await storage.saveConversation({ id: "c1", userId: "ann" });
    expect(await memory.getThread("ann", "c1")).not.toHaveProperty("metadata");
  });

  it("refuses another user's conversations, and labels that are members", async () => {
    const storage = backend();
    expect(await codeOf(storage.saveConversation({ id: "c1", userId: "bob" }))).toBe("INVALID_ARGUMENT");
    expect(await codeOf(storage.listConversations("bob", 10))).toBe("INVALID_ARGUMENT");
    const labelled = { id: "c1", userId: "ann", metadata: { channelId: "cli" } };
    expect(await codeOf(storage.saveConversation(labelled))).toBe("INVALID_ARGUMENT");
    expect(() => createStorageBackend(memory, {} as { userId: string })).toThrow(CheckpointError);
  });

  it("refuses members that it does not know, and missing ones, by their names", async () => {
    const storage = backend();
    const given = (value: object) => value as never;
    const message = { role: "user", content: "hello" };
    const calls: readonly (readonly [() => Promise<unknown>, RegExp])[] = [
      [() => storage.saveConversation(given({ ...conversation, titel: "Tea" })), /conversation .*title.*"titel"/],
      [() => storage.saveConversation(given({ userId: "ann" })), /conversation\.id/],
      [() => storage.addMessage("c1", given({ ...message, tokenUsed: 1 })), /message .*tokensUsed.*"tokenUsed"/],
      [() => storage.addMessage("c1", given({ role: "user" })), /message\.content/],
      [() => storage.storeMemory(given({ content: "tea", importence: 1 })), /memory .*importance.*"importence"/],
      [() => storage.storeMemory(given({})), /memory\.content/],
      [() => storage.searchText("tea", given({ conversation: "c1" })), /options .*conversationId.*"conversation"/],
      [() => storage.searchText("tea", given({ conversationId: undefined })), /options\.conversationId/],
      [() => storage.searchText(undefined as never), /query/],
      [() => storage.searchHybrid("tea", [1], given({ treshold: 1 })), /options .*minSimilarity.*"treshold"/],
    ];
    for (const [call, message] of calls) await expectRefusal(call(), message);
  });

  it("saves a conversation as it was read", async () => {
    const storage = backend();
    await storage.saveConversation(conversation);
    const read = await storage.getConversation("c1");
    await storage.saveConversation({ ...(read as NonNullable<typeof read>), title: "Tea" });
    expect(await storage.getConversation("c1")).toMatchObject({ ...conversation, title: "Tea" });
  });

  it("lists conversations, the last updated one first, from an offset", async () => {
    const storage = backend();
    for (const id of ["c1", "c2", "c3", "c4"]) await storage.saveConversation({ id, userId: "ann" });
    await memory.createThread({ owner: "ann", id: "d1", kind: "document" });
    const all = (await storage.listConversations("ann", 10)).map(({ id }) => id);
    expect(all.toSorted()).toEqual(["c1", "c2", "c3", "c4"]);
    const some = await storage.listConversations("ann", 2, 1);
    expect(some.map(({ id }) => id)).toEqual(all.slice(1, 3));
    expect(await storage.listConversations("ann", 2, 4)).toEqual([]);
  });

  it("has nothing to do with documents", async () => {
    const storage = backend();
    await memory.createThread({ owner: "ann", id: "d1", kind: "document" });
    expect(await storage.getConversation("d1")).toBeNull();
    expect(await storage.deleteConversation("d1")).toBe(false);
    expect(await codeOf(storage.saveConversation({ id: "d1", userId: "ann" }))).toBe("CONFLICT");
    expect(await memory.getThread("ann", "d1")).not.toBeNull();
  });

  it("keeps all of a message", async () => {
    const storage = backend();
    await storage.saveConversation(conversation);
    const message = {
      id: "msg_1",
      role: "assistant",
      content: "It is noon.",
      toolCalls: [{ name: "clock", arguments: { zone: "UTC" } }],
      toolResults: [new Date(0)],
      model: "m1",
      tokensUsed: 12,
      metadata: { rating: 5 },
      createdAt: 7,
    };
    await storage.addMessage("c1", message);
    await storage.addMessage("c1", message); // once more, as a retry does
    await storage.addMessage("c1", { role: "user", content: "Thanks." });
    expect(await storage.getMessages("c1", 10)).toEqual([
      message,
      { id: expect.any(String), role: "user", content: "Thanks.", createdAt: expect.any(Number) },
    ]);
    expect(await codeOf(storage.addMessage("c1", { ...message, content: "It is late." }))).toBe("CONFLICT");
    expect(await codeOf(storage.addMessage("c2", { ...message, id: "msg_2" }))).toBe("NOT_FOUND");
  });

  it("reads the last messages, in order, also more than one page of them", async () => {
    const storage = backend();
    await storage.saveConversation(conversation);
    const said = Array.from({ length: 1_500 }, (_, index) => `message ${index}`);
    for (let at = 0; at < said.length; at += 500) {
      const items = said.slice(at, at + 500).map((text) => {
        return { owner: "ann", collection: "messages", threadId: "c1", role: "user", text };
      });
      await memory.addItems(items);
    }
    const read = async (limit: number) => (await storage.getMessages("c1", limit)).map(({ content }) => content);
    expect(await read(3)).toEqual(said.slice(-3));
    expect(await read(1_200)).toEqual(said.slice(-1_200));
    expect(await read(2_000)).toEqual(said);
    expect(await storage.getMessages("nowhere", 10)).toEqual([]);
  });

  it("stores a memory, and replaces it by its id", async () => {
    const storage = backend();
    await storage.storeMemory({ id: "fact", content: "Ann drinks tea", importance: 0.8, metadata: { kind: "taste" } });
    await storage.storeMemory({ id: "fact", content: "Ann drinks coffee", importance: 0.9, createdAt: 3 });
    expect(await storage.searchText("tea")).toEqual([]);
    expect(await storage.searchText("coffee")).toEqual([
      { id: "fact", content: "Ann drinks coffee", importance: 0.9, createdAt: 3, score: expect.any(Number) },
    ]);
  });

  it("finds memories by a vector, with the cosine as the score, down to a similarity", async () => {
    const storage = backend();
    await storage.storeMemory({ id: "east", content: "east", embedding: [1, 0] });
    await storage.storeMemory({ id: "north-east", content: "north-east", embedding: [1, 1] });
    await storage.storeMemory({ id: "west", content: "west", embedding: [-1, 0] });
    const found = await storage.searchSimilar([1, 0], 10, 0.5);
    expect(found.map(({ id }) => id)).toEqual(["east", "north-east"]);
    expect(found[0]?.score).toBeCloseTo(1, 6);
    expect(found[1]?.score).toBeCloseTo(Math.SQRT1_2, 6);
    expect(await storage.searchSimilar([1, 0], 10)).toHaveLength(3);
    expect(await storage.searchSimilar([1, 0], 1)).toHaveLength(1);
    expect(await codeOf(storage.searchSimilar([1, 0, 0], 1))).toBe("DIMENSION_MISMATCH");
  });

  it("weighs words against vectors", async () => {
    const storage = backend();
    await storage.storeMemory({ id: "words", content: "the harbour at night", embedding: [0, 1] });
    await storage.storeMemory({ id: "vector", content: "ships", embedding: [1, 0] });
    const first = async (textWeight: number, vectorWeight: number) =>
      (await storage.searchHybrid("harbour", [1, 0], { textWeight, vectorWeight, limit: 1 }))[0]?.id;
    expect(await first(0.9, 0.1)).toBe("words");
    expect(await first(0.1, 0.9)).toBe("vector");
    const near = await storage.searchHybrid("ships", [1, 0], { minSimilarity: 0.9 });
    expect(near.map(({ id }) => id)).toEqual(["vector"]);
  });

  it("finds the memories of one conversation, which are deleted with it", async () => {
    const storage = backend();
    await storage.saveConversation(conversation);
    await storage.storeMemory({ id: "here", conversationId: "c1", content: "tea at five" });
    await storage.storeMemory({ id: "elsewhere", content: "tea at six" });
    const found = await storage.searchText("tea", { conversationId: "c1" });
    expect(found).toEqual([expect.objectContaining({ id: "here", conversationId: "c1" })]);
    expect(await storage.deleteConversation("c1")).toBe(true);
    expect(await storage.deleteConversation("c1")).toBe(false);
    expect((await storage.searchText("tea")).map(({ id }) => id)).toEqual(["elsewhere"]);
  });

  it("keeps users apart, also with the same ids", async () => {
    const ann = backend();
    const bob = createStorageBackend(memory, { userId: "bob" });
    for (const [storage, userId] of [
      [ann, "ann"],
      [bob, "bob"],
    ] as const) {
      await storage.saveConversation({ id: "c1", userId });
      await storage.addMessage("c1", { id: "1", role: "user", content: `I am ${userId}` });
      await storage.storeMemory({ id: "1", content: `${userId} likes tea`, embedding: [1, 0] });
    }
    expect((await ann.searchText("tea bob")).map(({ content }) => content)).toEqual(["ann likes tea"]);
    expect((await ann.searchSimilar([1, 0], 10)).map(({ content }) => content)).toEqual(["ann likes tea"]);
    await ann.deleteConversation("c1");
    expect((await bob.getMessages("c1", 10)).map(({ content }) => content)).toEqual(["I am bob"]);
  });
});

describe("the repository of documents", () => {
  it("creates, finds, updates and deletes a document", async () => {
    const documents = createDocumentRepository(memory);
    const guide = { userId: "ann", title: "Guide", content: "How to sail", metadata: { lang: "en" } };
    const created = await documents.create({ ...guide, embedding: [1, 0], createdAt: 4 });
    expect(created).toMatchObject({ ...guide, createdAt: 4 });
    expect(await documents.findById("ann", created.id)).toMatchObject(guide);
    expect(await documents.findById("bob", created.id)).toBeNull();
    expect((await documents.findByUserId("ann")).map(({ id }) => id)).toEqual([created.id]);

    const change = { title: "Handbook", content: "How to row", embedding: [0, 1], metadata: null };
    expect(await documents.update("ann", created.id, change)).toMatchObject({
      title: "Handbook",
      content: "How to row",
      createdAt: 4,
    });
    expect(await documents.findById("ann", created.id)).not.toHaveProperty("metadata");
    const [found] = await documents.similaritySearch({ userId: "ann", embedding: [0, 1], threshold: 0.9 });
    expect(found).toMatchObject({ id: created.id, title: "Handbook", content: "How to row" });

    expect(await documents.delete("ann", created.id)).toBe(true);
    expect(await documents.delete("ann", created.id)).toBe(false);
    expect(await codeOf(documents.update("ann", created.id, { title: "Again" }))).toBe("NOT_FOUND");
    expect(await documents.similaritySearch({ userId: "ann", embedding: [0, 1] })).toEqual([]);
  });

  it("finds a user's documents by a vector, down to a threshold, and by labels", async () => {
    const documents = createDocumentRepository(memory);
    const create = (userId: string, title: string, embedding: number[], lang = "en") =>
      documents.create({ userId, title, content: title, embedding, metadata: { lang } });
    await create("ann", "east", [1, 0]);
    await create("ann", "north-east", [1, 1], "de");
    await create("ann", "west", [-1, 0]);
    await create("bob", "east of bob", [1, 0]);
    const titles = async (search: { limit?: number; threshold?: number; metadata?: { lang: string } }) =>
      (await documents.similaritySearch({ embedding: [1, 0], userId: "ann", ...search })).map(({ title }) => title);
    expect(await titles({})).toEqual(["east", "north-east", "west"]);
    expect(await titles({ limit: 1 })).toEqual(["east"]);
    expect(await titles({ threshold: 0.7 })).toEqual(["east", "north-east"]);
    expect(await titles({ metadata: { lang: "de" } })).toEqual(["north-east"]);
    const [east] = await documents.similaritySearch({ embedding: [2, 0], userId: "ann", limit: 1 });
    expect(east?.similarity).toBeCloseTo(1, 6);
  });

  it("finds parts that were added to a document's thread", async () => {
    const documents = createDocumentRepository(memory);
    await memory.createThread({ owner: "ann", id: "book", kind: "document", title: "Book" });
    const items = [
      [1, 0],
      [0, 1],
    ].map((embedding, part) => {
      return { owner: "ann", collection: "documents", threadId: "book", text: `part ${part}`, embedding };
    });
    await memory.addItems(items);
    const found = await documents.similaritySearch({ userId: "ann", embedding: [0, 1], limit: 1 });
    expect(found).toEqual([expect.objectContaining({ id: "book", title: "Book", content: "part 1" })]);
    expect(await documents.findById("ann", "book")).toBeNull(); // it has parts alone
  });

  it("leaves nothing of a document that was refused, and repeats a create by its id", async () => {
    const documents = createDocumentRepository(memory);
    await documents.create({ userId: "ann", title: "one", content: "one", embedding: [1, 0] });
    const wrong = { userId: "ann", title: "two", content: "two", embedding: [1, 0, 0] };
    expect(await codeOf(documents.create(wrong))).toBe("DIMENSION_MISMATCH");
    expect(await documents.findByUserId("ann")).toHaveLength(1);

    expect(await codeOf(documents.create({ ...wrong, id: "two" }))).toBe("DIMENSION_MISMATCH");
    expect(await documents.findByUserId("ann")).toHaveLength(1);

    // As a create that was interrupted leaves it.
    await memory.createThread({ owner: "ann", id: "two", kind: "document", title: "an older one", metadata: { n: 1 } });
    const two = await documents.create({ ...wrong, id: "two", embedding: [0, 1] });
    expect(two).toMatchObject({ title: "two", content: "two" });
    expect(two).not.toHaveProperty("metadata");
    expect(await documents.findById("ann", "two")).toMatchObject({ title: "two", content: "two" });
    expect(await documents.create({ ...wrong, id: "two", embedding: [0, 1] })).toMatchObject({
      ...two,
      updatedAt: expect.any(Number),
    }); // again
    expect(await codeOf(documents.create({ ...wrong, id: "two", embedding: [0, 1], content: "other" }))).toBe(
      "CONFLICT",
    );
    expect(await codeOf(documents.create({ ...wrong, id: "two", title: "other" }))).toBe("CONFLICT");
    expect(await documents.findById("ann", "two")).toMatchObject({ title: "two", content: "two" });
  });

  it("refuses members that it does not know, and missing ones, by their names", async () => {
    const documents = createDocumentRepository(memory);
    const given = (value: object) => value as never;
    const guide = { userId: "ann", title: "Guide", content: "How to sail" };
    const search = { userId: "ann", embedding: [1] };
    const calls: readonly (readonly [() => Promise<unknown>, RegExp])[] = [
      [() => documents.create(given({ ...guide, meta: {} })), /document .*metadata.*"meta"/],
      [() => documents.create(given({ ...guide, userId: undefined })), /document\.userId/],
      [() => documents.create(given({ ...guide, title: undefined })), /document\.title/],
      [() => documents.create(given({ ...guide, content: undefined })), /document\.content/],
      [() => documents.update("ann", "x", given({ content: 1 })), /change\.content/],
      [() => documents.update("ann", "x", given({ text: "" })), /change .*content.*"text"/],
      [() => documents.similaritySearch(given({ ...search, treshold: 0.5 })), /search .*threshold.*"treshold"/],
      [() => documents.similaritySearch(given({ ...search, metadata: undefined })), /search\.metadata/],
      [() => documents.similaritySearch(given({ embedding: [1] })), /search\.userId/],
      [() => documents.findByUserId("ann", given({ limt: 1 })), /page .*limit.*"limt"/],
    ];
    for (const [call, message] of calls) await expectRefusal(call(), message);
  });

  it("leaves the thread of a refused document that was there before", async () => {
    const documents = createDocumentRepository(memory);
    await documents.create({ userId: "ann", title: "one", content: "one", embedding: [1, 0] });
    const thread = { owner: "ann", id: "two", kind: "document", title: "two" };
    await memory.createThread(thread);
    for (const title of ["two", "another title"]) {
      const wrong = { userId: "ann", id: "two", title, content: "two", embedding: [1, 0, 0] };
      expect(await codeOf(documents.create(wrong))).toBe("DIMENSION_MISMATCH");
      expect(await memory.getThread("ann", "two")).toMatchObject({ ...thread, title });
    }
  });

  it("keeps a document that another call has created under the id of a refused one", async () => {
    const documents = createDocumentRepository(memory);
    const add = memory.addItems.bind(memory);
    memory.addItems = async (items, options) => {
      memory.addItems = add;
      await documents.create({ userId: "ann", id: "same", title: "theirs", content: "theirs", embedding: [1, 0] });
      return await add(items, options);
    };
    const ours = { userId: "ann", id: "same", title: "ours", content: "ours", embedding: [1, 0, 0] };
    expect(await codeOf(documents.create(ours))).toBe("DIMENSION_MISMATCH");
    expect(await documents.findById("ann", "same")).toMatchObject({ content: "theirs" });
  });

  it("takes vectors from the memory's embedder", async () => {
    const embedder: Embedder = {
      model: "lengths",
      dimensions: 2,
      embed: async (texts) => texts.map(({ length }) => [1, length]),
    };
    await using embedding = createSQLiteMemory({ databasePath: ":memory:", embedder });
    const documents = createDocumentRepository(embedding);
    const { id } = await documents.create({ userId: "ann", title: "short", content: "abc" });
    const similarity = async () =>
      (await documents.similaritySearch({ userId: "ann", embedding: [1, 3] }))[0]?.similarity;
    expect(await similarity()).toBeCloseTo(1, 6);
    await documents.update("ann", id, { content: "a longer text" });
    expect(await similarity()).toBeLessThan(0.999);
  });
});

describe("the repository of conversations", () => {
  it("creates, lists, renames and deletes conversations with their messages", async () => {
    const conversations = createConversationRepository(memory);
    const messages = [
      { role: "user", content: "Hello" },
      { role: "assistant", content: "Good day" },
    ];
    const created = await conversations.create({ userId: "ann", title: "First", messages });
    expect(created).toMatchObject({ userId: "ann", title: "First", items: 2 });
    await conversations.addMessages("ann", created.id, [{ role: "user", content: "Bye" }]);
    expect((await conversations.getMessages("ann", created.id)).map(({ content }) => content)).toEqual([
      "Hello",
      "Good day",
      "Bye",
    ]);
    expect(await conversations.getMessages("ann", created.id, 1)).toEqual([
      expect.objectContaining({ content: "Bye" }),
    ]);
    expect(await conversations.getMessages("bob", created.id)).toEqual([]);

    expect(await conversations.updateTitle("ann", created.id, "Renamed")).toMatchObject({ title: "Renamed" });
    expect(await codeOf(conversations.updateTitle("bob", created.id, "Mine"))).toBe("NOT_FOUND");
    const page = await conversations.findByUserId("ann");
    expect(page.map(({ title }) => title)).toEqual(["Renamed"]);
    expect(await conversations.findByUserId("ann", { before: page[0] })).toEqual([]);
    expect(await conversations.findById("bob", created.id)).toBeNull();

    expect(await conversations.delete("ann", created.id)).toBe(true);
    expect(await conversations.findById("ann", created.id)).toBeNull();
    expect(await memory.countItems({ owner: "ann" })).toBe(0);
  });

  it("leaves a conversation that was there before where a message is refused", async () => {
    const conversations = createConversationRepository(memory);
    const hello = { role: "user", content: "Hello", embedding: [1, 0] };
    await conversations.create({ userId: "ann", messages: [hello] });
    const empty = await conversations.create({ userId: "ann", id: "c1", title: "empty" });
    const wrong = { ...hello, embedding: [1, 0, 0] };
    const again = conversations.create({ userId: "ann", id: "c1", title: "empty", messages: [wrong] });
    expect(await codeOf(again)).toBe("DIMENSION_MISMATCH");
    expect(await conversations.findById("ann", "c1")).toEqual(empty);
  });

  it("leaves nothing of a conversation of which a message is refused", async () => {
    const conversations = createConversationRepository(memory);
    await conversations.create({ userId: "bob", messages: [{ role: "user", content: "Hello", embedding: [1, 0] }] });
    await conversations.create({ userId: "ann", messages: [{ role: "user", content: "Hello", embedding: [1, 0] }] });
    const wrong = { role: "user", content: "Bye", embedding: [1, 0, 0] };
    for (const id of [undefined, "c1"]) {
      const created = conversations.create({
        userId: "ann",
        id,
        messages: [{ role: "user", content: "Hello" }, wrong],
      });
      expect(await codeOf(created)).toBe("DIMENSION_MISMATCH");
    }
    expect(await conversations.findByUserId("ann")).toHaveLength(1);
    expect(await memory.countItems({ owner: "ann" })).toBe(1);
    await conversations.create({ userId: "ann", id: "c1", messages: [{ ...wrong, embedding: [0, 1] }] });
    expect(await conversations.findById("ann", "c1")).toMatchObject({ items: 1 });
  });

  it("refuses members that it does not know, and missing ones, by their names", async () => {
    const conversations = createConversationRepository(memory);
    const given = (value: object) => value as never;
    const hello = { role: "user", content: "Hello" };
    const calls: readonly (readonly [() => Promise<unknown>, RegExp])[] = [
      [() => conversations.create(given({ userId: "ann", tilte: "x" })), /conversation .*title.*"tilte"/],
      [() => conversations.create(given({})), /conversation\.userId/],
      [() => conversations.create(given({ userId: "ann", messages: hello })), /conversation\.messages/],
      [
        () => conversations.create(given({ userId: "ann", messages: [hello, { role: "user", text: "x" }] })),
        /conversation\.messages\[1\] .*content.*"text"/,
      ],
      [() => conversations.addMessages("ann", "c1", given([{ content: "x" }])), /messages\[0\]\.role/],
    ];
    for (const [call, message] of calls) await expectRefusal(call(), message);
  });

  it("has the conversations of a storage backend", async () => {
    const storage = createStorageBackend(memory, { userId: "ann" });
    await storage.saveConversation({ id: "c1", userId: "ann", channelId: "cli" });
    await storage.addMessage("c1", { role: "user", content: "Hello" });
    const conversations = createConversationRepository(memory);
    expect(await conversations.findById("ann", "c1")).toMatchObject({ channelId: "cli", items: 1 });
    expect(await conversations.getMessages("ann", "c1")).toEqual(await storage.getMessages("c1", 10));
  });
});
