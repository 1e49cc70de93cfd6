import { EventEmitter } from "node:events";
import type { AgentCheckpoint, CheckpointedAgent, StoredAgentCheckpoint } from "@waymark/sqlite";

export interface Message {
  readonly role: "user" | "assistant";
  readonly content: string;
}

/** Any function that answers a conversation: a call of an API, or a script. */
export type Model = (messages: readonly Message[]) => Promise<string>;

/** An agent as a class, with its messages as the state. */
export class PlainAgent extends EventEmitter<{ turn: [] }> implements CheckpointedAgent {
  readonly agentId: string;
  readonly #model: Model;
  /** Replaced by a new array, never changed in place: a checkpoint holds the state at the end of its turn. */
  #messages: readonly Message[] = [];

  constructor(agentId: string, model: Model) {
    super();
    this.agentId = agentId;
    this.#model = model;
  }

  get messages(): readonly Message[] {
    return this.#messages;
  }

  get turn(): number {
    return this.#messages.length / 2;
  }

  async takeTurn(content: string): Promise<string> {
    const asked: readonly Message[] = [...this.#messages, { role: "user", content }];
    const answer = await this.#model(asked);
    this.#messages = [...asked, { role: "assistant", content: answer }];
    this.emit("turn");
    return answer;
  }

  generateCheckpoint(): AgentCheckpoint {
    return { agentId: this.agentId, state: { messages: this.#messages } };
  }

  restoreCheckpoint({ id, state }: StoredAgentCheckpoint): void {
    if (!isState(state)) throw new TypeError(`restore agent: checkpoint ${id} is not of an agent like this one`);
    this.#messages = state.messages;
  }
}

/** Checks a stored state: it may be of an older version of this program, or of another program. */
function isState(state: unknown): state is { readonly messages: readonly Message[] } {
  if (typeof state !== "object" || state === null || !("messages" in state)) return false;
  const { messages } = state;
  return Array.isArray(messages) && messages.length % 2 === 0 && messages.every(isMessage);
}

function isMessage(message: unknown): message is Message {
  if (typeof message !== "object" || message === null || !("role" in message && "content" in message)) return false;
  return (message.role === "user" || message.role === "assistant") && typeof message.content === "string";
}
