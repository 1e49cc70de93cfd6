import { MockLanguageModelV3 } from "ai/test";

type Result = Awaited<ReturnType<MockLanguageModelV3["doGenerate"]>>;

/**
 * In place of a model that costs money: it remembers each sentence that it is told, and answers a question with what it was given to
 * know.
 */
export function scriptedModel(): MockLanguageModelV3 {
  return new MockLanguageModelV3({
    doGenerate: async ({ prompt }): Promise<Result> => {
      const last = prompt.at(-1);
      if (last?.role === "tool") return reply({ type: "text", text: "I will remember that." });
      const said =
        last?.role === "user" ? last.content.map((part) => (part.type === "text" ? part.text : "")).join("") : "";
      if (!said.endsWith("?")) {
        const input = JSON.stringify({ fact: said });
        return reply({ type: "tool-call", toolCallId: crypto.randomUUID(), toolName: "remember", input });
      }
      const [system] = prompt;
      const facts = system?.role === "system" ? system.content.split("\n- ").slice(1) : [];
      return reply({
        type: "text",
        text: facts.length === 0 ? "You have not told me." : `You told me: ${facts.join(" ")}`,
      });
    },
  });
}

function reply(part: Result["content"][number]): Result {
  return {
    content: [part],
    finishReason: { unified: part.type === "tool-call" ? "tool-calls" : "stop", raw: undefined },
    usage: {
      inputTokens: { total: 1, noCache: 1, cacheRead: undefined, cacheWrite: undefined },
      outputTokens: { total: 1, text: 1, reasoning: undefined },
    },
    warnings: [],
  };
}
