// An ElizaOS agent with a scripted model, for tests and their child processes.

import { randomUUID } from "node:crypto";
import { AgentRuntime, ChannelType, ModelType, stringToUuid } from "@elizaos/core";
import { bootstrapPlugin } from "@elizaos/plugin-bootstrap";

const [entityId, roomId, worldId] = ["user", "room", "world"].map((name) => stringToUuid(name));

/** Place of the conversation. */
export const place = { entityId, roomId, worldId };

/** Echoes each message, and embeds texts by their letters. */
const scriptedModel = {
  name: "scripted-model",
  description: "Echoes",
  models: {
    [ModelType.TEXT_SMALL]: async () => "<response></response>",
    [ModelType.TEXT_LARGE]: async (_runtime, { prompt }) => {
      const heard = /# Received Message\n[^:\n]*: (.*)/.exec(prompt)?.[1] ?? "";
      return `<response><thought>echo</thought><actions>REPLY</actions><providers></providers><text>You said: ${heard}</text></response>`;
    },
    [ModelType.TEXT_EMBEDDING]: async (_runtime, params) =>
      embed(typeof params === "string" ? params : (params?.text ?? "")),
  },
};

/** @param {string} text */
export function embed(text) {
  const vector = new Array(384).fill(0);
  for (const letter of text) vector[letter.codePointAt(0) % 384] += 1;
  return vector;
}

/** Makes and initializes a runtime. `plugins`: those with the database. */
export async function startRuntime(plugins, name = "Ada") {
  const character = { name, bio: "Echoes.", settings: { LOG_LEVEL: "fatal" } };
  const runtime = new AgentRuntime({ character, plugins: [...plugins, bootstrapPlugin, scriptedModel] });
  await runtime.initialize();
  return runtime;
}

/** Says something to the agent, and returns its answers. */
export async function say(runtime, text) {
  const connection = { ...place, userName: "ben", source: "test", channelId: "test", type: ChannelType.DM };
  await runtime.ensureConnection(connection);
  const content = { text, source: "test", channelType: ChannelType.DM };
  const answers = [];
  const message = { id: stringToUuid(randomUUID()), ...place, content };
  await runtime.messageService.handleMessage(runtime, message, async (answer) => {
    answers.push(answer.text);
    const reply = { id: stringToUuid(randomUUID()), ...place, entityId: runtime.agentId, content: answer };
    await runtime.createMemory(reply, "messages"); // as clients of ElizaOS do
    return [reply];
  });
  return answers;
}

/** Ends a runtime, and closes its database. */
export async function stopRuntime(runtime) {
  await runtime.stop();
  await runtime.close();
}
