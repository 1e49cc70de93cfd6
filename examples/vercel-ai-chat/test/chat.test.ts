import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { type CheckpointStorage, createSQLiteStorage, type StoredAgentCheckpoint } from "@waymark/sqlite";
import type { UIMessage } from "ai";
import { MockLanguageModelV3 } from "ai/test";
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createChats, textOf } from "../src/chats.ts";
import { createChatRoute } from "../src/route.ts";
import { scriptedModel } from "../src/scripted-model.ts";

const MAIN = fileURLToPath(new URL("../dist/main.js", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "waymark-vercel-ai-chat-"));
afterAll(() => rmSync(folder, { recursive: true }));

let number = 0;
let databasePath: string;
let storage: CheckpointStorage;
beforeEach(() => {
  number += 1;
  databasePath = join(folder, `${number}.db`);
  storage = createSQLiteStorage({ type: "sqlite", databasePath });
});
afterEach(() => storage.close());

const user = (text: string, id = `user-${text}`): UIMessage => ({ id, role: "user", parts: [{ type: "text", text }] });

type Route = ReturnType<typeof createChatRoute>;

const post = (route: Route, body: unknown) =>
  route.POST(new Request("http://localhost/api/chat", { method: "POST", body: JSON.stringify(body) }));

/** Sends a message and reads the answer to its end, as a browser does. */
async function say(route: Route, id: string, text: string): Promise<string> {
  const response = await post(route, { trigger: "submit-message", id, message: user(text) });
  expect(response.status).toBe(200);
  return await response.text();
}

async function messagesOf(route: Route, id: string): Promise<UIMessage[]> {
  const response = await route.GET(new Request(`http://localhost/api/chat?id=${id}`));
  return (await response.json()) as UIMessage[];
}

const texts = (messages: readonly UIMessage[]) => messages.map(textOf);

describe("a chat", () => {
  it("goes on in another process", async () => {
    const run = async (text: string) => {
      const { NODE_OPTIONS: _, ...env } = process.env;
      const { stdout } = await promisify(execFile)(process.execPath, [MAIN, databasePath, "my-chat", text], { env });
      return stdout.trimEnd().split("\n");
    };
    const first = ["user: Hello", 'assistant: Message 1 was "Hello" (answer 1).'];
    expect(await run("Hello")).toEqual(first);
    expect(await run("Again")).toEqual([...first, "user: Again", 'assistant: Message 2 was "Again" (answer 1).']);

    const { messages, checkpointId } = await createChats(storage).loadChat("my-chat");
    expect(messages.map(({ role }) => role)).toEqual(["user", "assistant", "user", "assistant"]);
    expect(new Set(messages.map(({ id }) => id)).size).toBe(4);
    const line: number[] = [];
    for await (const { id } of storage.iterateAncestors(checkpointId as string)) {
      const { state } = (await storage.retrieveCheckpoint(id)) as StoredAgentCheckpoint;
      line.push((state as UIMessage[]).length);
    }
    expect(line).toEqual([4, 3, 2, 1]); // a checkpoint for each message, in one line
  });

  it("keeps text with NUL and lone surrogates", async () => {
    const route = createChatRoute(storage, scriptedModel());
    const text = "a\0b \ud800 c";
    await (await post(route, { trigger: "submit-message", id: "chat", message: user(text, "1") })).text();
    expect(texts(await messagesOf(route, "chat"))[0]).toBe(text);
    expect((await storage.listCheckpoints()).map(({ name }) => name)).toContain("a\ufffdb \ufffd c");
  });

  it.each(["", "a%00b", "語".repeat(100)])("refuses to load a chat with the id %j", async (id) => {
    const response = await createChatRoute(storage, scriptedModel()).GET(
      new Request(`http://localhost/api/chat?id=${id}`),
    );
    expect(response.status).toBe(400);
  });

  it("streams to the browser what it saves", async () => {
    const route = createChatRoute(storage, scriptedModel());
    const stream = await say(route, "chat", "Hello");
    const events = stream.split("\n\n").filter((event) => event.startsWith("data: {"));
    const deltas = events.map((event) => JSON.parse(event.slice(6)) as { type: string; delta?: string });
    expect(deltas.map(({ delta = "" }) => delta).join("")).toBe('Message 1 was "Hello" (answer 1).');
    expect(texts(await messagesOf(route, "chat"))).toEqual(["Hello", 'Message 1 was "Hello" (answer 1).']);
    expect(await messagesOf(route, "another")).toEqual([]);
  });

  it("keeps what the user has said where the model fails, and answers it when it is asked again", async () => {
    const logged = vi.spyOn(console, "error").mockImplementation(() => {}); // the SDK's own
    const failing = new MockLanguageModelV3({
      doStream: async () => {
        throw new Error("overloaded");
      },
    });
    const response = await post(createChatRoute(storage, failing), {
      trigger: "submit-message",
      id: "chat",
      message: user("Hello"),
    });
    await response.text();
    const route = createChatRoute(storage, scriptedModel());
    expect(texts(await messagesOf(route, "chat"))).toEqual(["Hello"]);
    const again = await post(route, { trigger: "regenerate-message", id: "chat" });
    await again.text();
    expect(texts(await messagesOf(route, "chat"))).toEqual(["Hello", 'Message 1 was "Hello" (answer 1).']);
    expect(logged).toHaveBeenCalled();
    logged.mockRestore();
  });

  it("is saved to the end where the browser goes away", async () => {
    const route = createChatRoute(storage, scriptedModel());
    const response = await post(route, { trigger: "submit-message", id: "chat", message: user("Hello") });
    const store = storage.storeCheckpoint.bind(storage);
    const answered = new Promise<void>((resolve) => {
      storage.storeCheckpoint = async (checkpoint) => {
        const id = await store(checkpoint);
        resolve();
        return id;
      };
    });
    const reader = response.body?.getReader();
    await reader?.read();
    await reader?.cancel();
    await answered;
    expect(texts(await messagesOf(route, "chat"))).toEqual(["Hello", 'Message 1 was "Hello" (answer 1).']);
  });

  it("gives another answer beside the first, from any message on", async () => {
    const route = createChatRoute(storage, scriptedModel());
    await say(route, "chat", "Hello");
    await say(route, "chat", "Again");
    const [, first] = await messagesOf(route, "chat");
    const response = await post(route, { trigger: "regenerate-message", id: "chat", messageId: first?.id });
    await response.text();

    const after = await messagesOf(route, "chat");
    expect(texts(after)).toEqual(["Hello", 'Message 1 was "Hello" (answer 3).']);
    expect(after[1]?.id).not.toBe(first?.id);
    // Both answers are children of what the user has said, and the branch that was left is whole.
    const all = await storage.listCheckpoints({ agentId: "chat" });
    const asked = all.at(-1)?.id as string;
    const answers = await storage.listCheckpoints({ agentId: "chat", parentId: asked });
    expect(answers.map(({ name }) => name)).toEqual([
      'Message 1 was "Hello" (answer 3).',
      'Message 1 was "Hello" (answer 1).',
    ]);
    const left = await storage.retrieveCheckpoint(all[1]?.id as string);
    expect(texts(left?.state as UIMessage[]).at(-1)).toBe('Message 2 was "Again" (answer 2).');
    // The chat goes on after the new answer.
    await say(route, "chat", "More");
    expect(texts(await messagesOf(route, "chat"))).toEqual([
      "Hello",
      'Message 1 was "Hello" (answer 3).',
      "More",
      'Message 2 was "More" (answer 4).',
    ]);
  });

  it("is refused where what is stored is no chat", async () => {
    const { loadChat } = createChats(storage);
    for (const state of [null, { messages: [] }, [{ id: "1", role: "wizard", parts: [] }], [{ role: "user" }], []]) {
      const id = await storage.storeCheckpoint({ agentId: "chat", name: "foreign", state, createdAt: Date.now() });
      const message = `load chat "chat": checkpoint ${id} does not hold UI messages`;
      await expect(loadChat("chat")).rejects.toThrow(expect.objectContaining({ message, cause: expect.any(Error) }));
      await expect(say(createChatRoute(storage, scriptedModel()), "chat", "Hello")).rejects.toThrow(message);
    }
    expect((await storage.listCheckpoints({ agentId: "chat" })).every(({ name }) => name === "foreign")).toBe(true);
  });

  it.each([
    ["no JSON", "{", 400],
    ["no trigger", { id: "chat", message: user("Hello") }, 400],
    ["no id", { trigger: "submit-message", message: user("Hello") }, 400],
    ...["", "a\0b", "\ud800", "語".repeat(100)].flatMap((id): [string, unknown, number][] => [
      [`the chat id ${JSON.stringify(id.slice(0, 3))}`, { trigger: "submit-message", id, message: user("Hello") }, 400],
      [
        `the message id ${JSON.stringify(id.slice(0, 3))}`,
        { trigger: "submit-message", id: "chat", message: user("Hello", id) },
        400,
      ],
      [`the chat id ${JSON.stringify(id.slice(0, 3))} to answer anew`, { trigger: "regenerate-message", id }, 400],
    ]),
    ["no message", { trigger: "submit-message", id: "chat" }, 400],
    [
      "a message of the assistant",
      { trigger: "submit-message", id: "chat", message: { ...user("x"), role: "assistant" } },
      400,
    ],
    ["a message that is none", { trigger: "submit-message", id: "chat", message: { id: "1", role: "user" } }, 400],
    ["a message to answer anew that is not there", { trigger: "regenerate-message", id: "chat", messageId: "x" }, 404],
  ])("refuses a request with %s, and stores nothing", async (_, body, status) => {
    const route = createChatRoute(storage, scriptedModel());
    const text = typeof body === "string" ? body : JSON.stringify(body);
    const response = await route.POST(new Request("http://localhost/api/chat", { method: "POST", body: text }));
    expect(response.status).toBe(status);
    expect(await response.json()).toEqual({ error: expect.any(String) });
    expect(await storage.listCheckpoints()).toEqual([]);
  });
});
