// A chat in the terminal, a process for each message:
//
//   node dist/main.js ./chat.db ann monday "I am allergic to peanuts."

import { createSQLiteMemory } from "@waymark/sqlite/memory";
import { createChat } from "./chat.ts";
import { scriptedEmbedder } from "./scripted-embedder.ts";
import { scriptedModel } from "./scripted-model.ts";

const [databasePath = "./chat.db", userId = "ann", threadId = "monday", text = "Hello."] = process.argv.slice(2);

await using memory = createSQLiteMemory({
  databasePath,
  embedder: scriptedEmbedder,
  collections: { "*": { language: "en" } },
});
const chat = createChat({ memory, model: scriptedModel(), userId });

await chat.say(threadId, text);
for (const { role, content } of await chat.messages(threadId)) console.log(`${role}: ${content}`);
