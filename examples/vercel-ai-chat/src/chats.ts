import type { CheckpointStorage } from "@waymark/sqlite";
import { safeValidateUIMessages, type UIMessage } from "ai";

export interface Chat {
  readonly messages: UIMessage[];
  /** Id of the checkpoint with these messages; `null`: the chat has none yet. */
  readonly checkpointId: string | null;
}

export interface SavedChat {
  readonly chatId: string;
  readonly messages: readonly UIMessage[];
  /** Id of the checkpoint that these messages continue. An older one starts a branch. */
  readonly parentId: string | null;
}

/** The chats of a storage: a chat is an agent, and its messages are the state. */
export function createChats(storage: CheckpointStorage) {
  /** Checks a stored chat: it may be of an older version of this program, and the SDK may refuse its messages. */
  async function validated(chatId: string, checkpointId: string, state: unknown): Promise<Chat> {
    const result = await safeValidateUIMessages({ messages: state });
    if (result.success) return { messages: result.data, checkpointId };
    const message = `load chat ${JSON.stringify(chatId)}: checkpoint ${checkpointId} does not hold UI messages`;
    throw new Error(message, { cause: result.error });
  }

  /** Loads the latest state of a chat. */
  async function loadChat(chatId: string): Promise<Chat> {
    const latest = await storage.retrieveLatestCheckpoint(chatId);
    return latest === null ? { messages: [], checkpointId: null } : await validated(chatId, latest.id, latest.state);
  }

  return {
    loadChat,

    /** Saves all messages of a chat as its latest state. Returns the checkpoint's id. */
    async saveChat({ chatId, messages, parentId }: SavedChat): Promise<string> {
      const last = messages.at(-1);
      return await storage.storeCheckpoint({
        agentId: chatId,
        name: last === undefined ? "empty" : textOf(last).slice(0, 200).toWellFormed().replaceAll("\0", "\ufffd"),
        state: messages,
        createdAt: Date.now(),
        ...(parentId === null ? {} : { parentId }),
        ...(last === undefined ? {} : { metadata: { messageId: last.id } }),
      });
    },

    /**
     * Loads the chat as it was when this message, or the one that it answers, was the user's last, to answer it again. Without
     * an id: the chat's last message. `null`: there is no such message.
     */
    async loadChatToAnswer(chatId: string, messageId?: string): Promise<Chat | null> {
      const { messages, checkpointId } = await loadChat(chatId);
      const named = messageId === undefined ? messages.length - 1 : messages.findIndex(({ id }) => id === messageId);
      const asked = messages[messages[named]?.role === "assistant" ? named - 1 : named];
      if (checkpointId === null || asked === undefined) return null;
      for await (const { id, metadata } of storage.iterateAncestors(checkpointId)) {
        if (metadata?.["messageId"] !== asked.id) continue;
        const checkpoint = await storage.retrieveCheckpoint(id);
        if (checkpoint !== null) return await validated(chatId, id, checkpoint.state);
      }
      return null;
    },
  };
}

/** Returns whether a text from outside can be the id of a chat or message: up to 255 bytes of Unicode, without NUL. */
export function isId(text: string): boolean {
  return text !== "" && Buffer.byteLength(text) <= 255 && text.isWellFormed() && !text.includes("\0");
}

/** Returns the text of a message. */
export function textOf({ parts }: UIMessage): string {
  return parts.map((part) => (part.type === "text" ? part.text : "")).join("");
}
