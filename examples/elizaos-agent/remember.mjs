// An action: keeps a message of a user as a fact, which the provider FACTS of the bootstrap plugin searches.

import { createUniqueUuid } from "@elizaos/core";

/** @type {import("@elizaos/core").Plugin} */
export const rememberPlugin = {
  name: "remember",
  description: "Keeps facts",
  actions: [
    {
      name: "REMEMBER",
      description: "Keeps what the user says as a fact",
      examples: [],
      validate: async () => true,
      handler: async (runtime, message, _state, _options, callback) => {
        const text = String(message.content.text);
        const fact = await runtime.addEmbeddingToMemory({
          id: createUniqueUuid(runtime, `fact:${text}`),
          entityId: message.entityId,
          agentId: runtime.agentId,
          roomId: message.roomId,
          worldId: message.worldId,
          content: { text },
        });
        await runtime.createMemory(fact, "facts", true);
        await callback?.({ text: `I will remember: ${text}`, actions: ["REMEMBER"] });
        return { success: true };
      },
    },
  ],
};
