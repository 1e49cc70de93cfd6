import { createConversationRepository, type MemoryStorage, type StoredMessage } from "@waymark/sqlite/memory";
import { generateText, type LanguageModel, type ModelMessage, stepCountIs, tool } from "ai";
import { z } from "zod";

export interface ChatOptions {
  readonly memory: MemoryStorage;
  readonly model: LanguageModel;
  /** Whose chat: all that is stored belongs to this user, and no search finds another one's. */
  readonly userId: string;
}

/** Messages of the thread that the model gets. Older ones stay in the database. */
const HISTORY = 20;

/** Creates a user's chat: threads of messages, and facts that are remembered across threads. */
export function createChat({ memory, model, userId }: ChatOptions) {
  const conversations = createConversationRepository(memory);

  /** Finds what is remembered and has to do with a text. */
  async function recall(text: string): Promise<string[]> {
    const hits = await memory.search({ owner: userId, collections: ["memories"], text, limit: 5, minSimilarity: 0.25 });
    return hits.map(({ item }) => item.text);
  }

  const remember = tool({
    description: "Remember a fact about the user, for this and all later conversations.",
    inputSchema: z.object({ fact: z.string() }),
    execute: async ({ fact }) => {
      // `dedup`: a fact that is told twice is one.
      await memory.addItems([{ owner: userId, collection: "memories", text: fact, dedup: true }]);
      return "remembered";
    },
  });

  return {
    /** Says something in a thread, which is made by its first message. Returns the answer. */
    async say(threadId: string, text: string): Promise<string> {
      if ((await conversations.findById(userId, threadId)) === null) {
        await conversations.create({ userId, id: threadId, title: text.slice(0, 80) });
      }
      // Before the model is asked: a crash meanwhile loses the answer, never what the user has said.
      await conversations.addMessages(userId, threadId, [{ role: "user", content: text }]);
      const facts = await recall(text);
      const { text: answer } = await generateText({
        model,
        system: ["You are a helpful assistant. What you remember of the user:", ...facts].join("\n- "),
        messages: (await conversations.getMessages(userId, threadId, HISTORY)).map(toModel),
        tools: { remember },
        stopWhen: stepCountIs(4),
      });
      await conversations.addMessages(userId, threadId, [{ role: "assistant", content: answer }]);
      return answer;
    },

    /** Reads the last messages of a thread. */
    messages: (threadId: string) => conversations.getMessages(userId, threadId, HISTORY),

    /** Lists the user's threads, the last used one first. */
    threads: () => conversations.findByUserId(userId),
  };
}

function toModel({ role, content }: StoredMessage): ModelMessage {
  return role === "assistant" ? { role, content } : { role: "user", content };
}
