// A chat in the terminal, a process for each message:
//
//   node dist/main.js ./chats.db my-chat "Hello"

import { createSQLiteStorage } from "@waymark/sqlite";
import type { UIMessage } from "ai";
import { textOf } from "./chats.ts";
import { createChatRoute } from "./route.ts";
import { scriptedModel } from "./scripted-model.ts";

const [databasePath = "./chats.db", id = "my-chat", text = "Hello"] = process.argv.slice(2);
const storage = createSQLiteStorage({ type: "sqlite", databasePath });
const { GET, POST } = createChatRoute(storage, scriptedModel());

const url = `http://localhost/api/chat?id=${encodeURIComponent(id)}`;
const message = { id: crypto.randomUUID(), role: "user", parts: [{ type: "text", text }] };
const body = JSON.stringify({ trigger: "submit-message", id, message });
const answer = await POST(new Request(url, { method: "POST", body }));
await answer.text(); // a browser shows it as it comes

const messages = (await (await GET(new Request(url))).json()) as UIMessage[];
for (const message of messages) console.log(`${message.role}: ${textOf(message)}`);
await storage.close();
