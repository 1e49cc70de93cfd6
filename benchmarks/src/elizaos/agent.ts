import { randomUUID } from "node:crypto";
import type { Memory, UUID } from "@waymark/elizaos";
import type { Product, Target } from "./system.ts";

/** An agent of ElizaOS with plugin-bootstrap and a scripted model. */

/** Length of the vectors of the model. */
export const MODEL_DIMENSIONS = 1_536;

/** The parts of a runtime that are used here. */
export interface Runtime {
  readonly agentId: UUID;
  adapter: object;
  initialize(): Promise<void>;
  stop(): Promise<void>;
  close(): Promise<void>;
  ensureConnection(connection: object): Promise<void>;
  createMemory(memory: Memory, tableName: string): Promise<UUID>;
  /** Resolves when the service has started. */
  getServiceLoadPromise(type: string): Promise<{ stop(): Promise<void> }>;
  readonly messageService: {
    handleMessage(
      runtime: Runtime,
      message: Memory,
      answer: (content: { text: string }) => Promise<Memory[]>,
    ): Promise<unknown>;
  };
}

/** The parts of ElizaOS that are used here. Its declarations cannot be imported under `nodenext`. */
export interface Eliza {
  readonly AgentRuntime: new (options: object) => Runtime;
  readonly ModelType: Readonly<Record<"TEXT_SMALL" | "TEXT_LARGE" | "TEXT_EMBEDDING", string>>;
  readonly ChannelType: { readonly DM: string };
  stringToUuid(text: string): UUID;
}

/** Has ElizaOS log nothing but what is fatal. That is read when it is imported. */
export function beSilent(): void {
  process.env["LOG_LEVEL"] ??= "fatal";
}

export async function importEliza(): Promise<Eliza> {
  beSilent();
  return (await import("@elizaos/core")) as unknown as Eliza;
}

export async function importBootstrap(): Promise<object> {
  // @ts-expect-error its declarations are not where it says
  const module = (await import("@elizaos/plugin-bootstrap")) as { bootstrapPlugin: object };
  return module.bootstrapPlugin;
}

/** Makes a runtime that keeps its rows with a product. It is not initialized. */
export async function createRuntime(eliza: Eliza, product: Product, target: Target, agentId: UUID): Promise<Runtime> {
  const { plugin, settings } = await product.pluginFor(target);
  const plugins = [plugin, await importBootstrap(), scriptedModel(eliza)];
  return new eliza.AgentRuntime({ character: { id: agentId, name: "Ada", bio: "Echoes.", settings }, plugins });
}

/** Answers each message with what it has heard, and embeds texts by their letters. */
function scriptedModel({ ModelType }: Eliza): object {
  return {
    name: "scripted-model",
    description: "Echoes",
    models: {
      [ModelType.TEXT_SMALL]: async () => "<response></response>",
      [ModelType.TEXT_LARGE]: async (_: Runtime, { prompt }: { prompt: string }) => {
        const heard = /# Received Message\n[^:\n]*: (.*)/.exec(prompt)?.[1] ?? "";
        const parts = ["<thought>echo</thought>", "<actions>REPLY</actions>", "<providers></providers>"];
        return `<response>${parts.join("")}<text>You said: ${heard}</text></response>`;
      },
      [ModelType.TEXT_EMBEDDING]: async (_: Runtime, asked: string | { text?: string } | null) =>
        embed(typeof asked === "string" ? asked : (asked?.text ?? "")),
    },
  };
}

function embed(text: string): number[] {
  const vector = new Array<number>(MODEL_DIMENSIONS).fill(0);
  for (const letter of text) {
    const at = (letter.codePointAt(0) as number) % MODEL_DIMENSIONS;
    vector[at] = (vector[at] as number) + 1;
  }
  return vector;
}

/** A user's conversation with an agent. */
export interface Conversation {
  /** Makes sure that the user and the room are known, as clients of ElizaOS do before each message. */
  connect(): Promise<void>;
  /** Says something, stores the answer, as clients do, and returns it. */
  say(text: string): Promise<string | undefined>;
}

export function conversationWith({ ChannelType, stringToUuid }: Eliza, runtime: Runtime): Conversation {
  const [entityId, roomId, worldId] = ["user", "room", "world"].map(stringToUuid) as [UUID, UUID, UUID];
  const place = { entityId, roomId, worldId };
  return {
    connect: () =>
      runtime.ensureConnection({
        ...{ ...place, userName: "ben", source: "benchmark", channelId: "benchmark", type: ChannelType.DM },
      }),
    async say(text) {
      let said: string | undefined;
      const content = { text, source: "benchmark", channelType: ChannelType.DM };
      const message = { id: randomUUID() as UUID, ...place, content };
      await runtime.messageService.handleMessage(runtime, message, async (answer) => {
        said = answer.text;
        const reply = { id: randomUUID() as UUID, ...place, entityId: runtime.agentId, content: answer };
        await runtime.createMemory(reply, "messages");
        return [reply];
      });
      return said;
    },
  };
}
