import { simulateReadableStream } from "ai";
import { MockLanguageModelV3 } from "ai/test";

/** In place of a model that costs money: its answer tells what was said last, and how often this model was asked. */
export function scriptedModel(): MockLanguageModelV3 {
  const model = new MockLanguageModelV3({
    doStream: async ({ prompt }) => {
      const said = prompt.flatMap(({ role, content }) =>
        role === "user" ? content.map((part) => (part.type === "text" ? part.text : "")).join("") : [],
      );
      const text = `Message ${said.length} was "${said.at(-1)}" (answer ${model.doStreamCalls.length}).`;
      const words = text.match(/\S+\s*/g) ?? [];
      return {
        stream: simulateReadableStream({
          chunkDelayInMs: null,
          chunks: [
            { type: "text-start", id: "1" },
            ...words.map((delta) => ({ type: "text-delta" as const, id: "1", delta })),
            { type: "text-end", id: "1" },
            {
              type: "finish",
              finishReason: { unified: "stop", raw: undefined },
              usage: {
                inputTokens: { total: 1, noCache: 1, cacheRead: undefined, cacheWrite: undefined },
                outputTokens: { total: words.length, text: words.length, reasoning: undefined },
              },
            },
          ],
        }),
      };
    },
  });
  return model;
}
