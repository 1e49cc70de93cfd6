// Stands for a model, so that the example needs no network: it reads the prompt, and answers in the form that ElizaOS asks for.

import { ModelType } from "@elizaos/core";
import { embed } from "./embeddings.mjs";

/** @type {import("@elizaos/core").Plugin} */
export const scriptedModel = {
  name: "scripted-model",
  description: "Answers by rules",
  models: {
    [ModelType.TEXT_SMALL]: async () => "<response></response>",
    [ModelType.TEXT_LARGE]: async (_runtime, { prompt }) => answer(prompt),
    [ModelType.TEXT_EMBEDDING]: async (_runtime, params) =>
      embed(typeof params === "string" ? params : (params?.text ?? "")),
  },
};

/** Remembers what is no question. Of a question it asks for the facts first, and answers by them. */
function answer(prompt) {
  const message = /# Received Message\n[^:\n]*: (.*)/.exec(prompt)?.[1] ?? "";
  if (!message.endsWith("?")) return response({ action: "REMEMBER", text: message });
  const facts = /Key facts that .* knows:\n(.*?)\n\n/s.exec(prompt)?.[1];
  if (facts === undefined && !prompt.includes("No facts available"))
    return response({ action: "REPLY", provider: "FACTS" });
  const words = wordsOf(message);
  const known = facts?.split("\n").find((fact) => wordsOf(fact).some((word) => words.includes(word)));
  return response({
    action: "REPLY",
    text: known === undefined ? "I know nothing about that." : `You told me: ${known}`,
  });
}

/** Words that say something. */
const wordsOf = (text) => (text.toLowerCase().match(/\p{Letter}{4,}/gu) ?? []).filter((word) => word !== "does");

function response({ action, provider = "", text = "" }) {
  return `<response><thought>As the rules say</thought><actions>${action}</actions><providers>${provider}</providers><text>${text}</text></response>`;
}
