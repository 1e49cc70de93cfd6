import { BASE64, HEX, type Random, randomOf } from "./random.ts";

/** The messages that an agent adds in one turn. */
export type Turn = readonly Message[];
export type Message = Readonly<Record<string, unknown>>;

/** A run of an agent, for a benchmark to replay: the members that it has from the start, and the messages of each turn. */
export interface Conversation {
  readonly title: string;
  readonly header: Readonly<Record<string, unknown>>;
  readonly turns: readonly Turn[];
}

/** An agent's state after some turns. */
export interface State extends Record<string, unknown> {
  turn: number;
  usage: { readonly inputTokens: number; readonly outputTokens: number };
  messages: Message[];
}

/** The members of a state that every turn changes. */
export const CHANGING = ["turn", "usage", "messages"] as const;

const TURN_BYTES = 1_700;
const SIGNATURE_CHARACTERS = 640;

/** A conversation whose every turn is 1.7 kB of JSON: a thought, a tool call, and what the tool answered. */
export function generateConversation(turns: number, seed = 1): Conversation {
  const random = randomOf(seed);
  const words = vocabulary(random);
  return {
    title: `${turns} turns`,
    header: {
      task: prose(random, words, 400),
      model: "benchmark-1",
      tools: ["read_file", "write_file", "run", "search"],
    },
    turns: Array.from({ length: turns }, () => generateTurn(random, words)),
  };
}

/** Makes the state after `count` turns anew: it shares no object with the state that was stored. */
export function stateAfter({ header, turns }: Conversation, count: number): State {
  return structuredClone({ ...header, ...counters(count), messages: turns.slice(0, count).flat() });
}

export function counters(turn: number): Omit<State, "messages"> & Pick<State, "turn" | "usage"> {
  return { turn, usage: { inputTokens: turn * 431, outputTokens: turn * 97 } };
}

/**
 * Replays a conversation as an agent that pushes to its messages: one live object, changed in place, nothing of it frozen.
 * Yields it after each turn, with the messages that the turn has added.
 */
export function* growLive(conversation: Conversation): Generator<{ state: State; added: Turn }> {
  const { header, turns } = structuredClone(conversation);
  const state: State = { ...header, ...counters(0), messages: [] };
  for (const [index, added] of turns.entries()) {
    Object.assign(state, counters(index + 1));
    state.messages.push(...added);
    yield { state, added };
  }
}

/** Replays it as an agent that uses Immer: each turn makes a new state, deeply frozen, which shares the old turns. */
export function* growFrozen(conversation: Conversation): Generator<{ state: State; added: Turn }> {
  const { header, turns } = structuredClone(conversation);
  deepFreeze(header);
  let messages: readonly Message[] = [];
  for (const [index, added] of turns.entries()) {
    deepFreeze(added);
    messages = Object.freeze([...messages, ...added]);
    const { usage, ...others } = counters(index + 1);
    const state = Object.freeze({ ...header, ...others, usage: Object.freeze(usage), messages });
    yield { state: state as unknown as State, added };
  }
}

export function deepFreeze(value: unknown): void {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return;
  Object.freeze(value);
  for (const member of Object.values(value)) deepFreeze(member);
}

function generateTurn(random: Random, words: readonly string[]): Turn {
  const callId = `call_${random.text(24, HEX)}`;
  const assistant = {
    role: "assistant",
    content: [
      { type: "thinking", thinking: prose(random, words, 200), signature: random.text(SIGNATURE_CHARACTERS, BASE64) },
      { type: "tool_use", id: callId, name: random.pick(["read_file", "write_file", "run", "search"]) },
    ],
    arguments: JSON.stringify({ path: `src/${random.text(12, HEX)}.ts`, limit: random.below(1_000) }),
  };
  const tool = { role: "tool", toolCallId: callId, durationMs: random.below(100_000), content: "" };
  const bare = JSON.stringify([assistant, tool]).length - "[]".length;
  return [assistant, { ...tool, content: prose(random, words, TURN_BYTES - bare) }];
}

/** Makes up words, the frequent ones short, as in a language. */
function vocabulary(random: Random): string[] {
  const syllable = () => random.text(1, "bcdfghjklmnpqrstvwxz") + random.text(1, "aeiouy");
  return Array.from({ length: 4_096 }, (_, rank) => {
    const syllables = 1 + Math.floor(Math.log2(rank + 2) / 3) + random.below(2);
    const word = Array.from({ length: syllables }, syllable).join("");
    return rank % 11 === 0 ? word[0]?.toUpperCase() + word.slice(1) : word;
  });
}

function prose(random: Random, words: readonly string[], length: number): string {
  let text = "";
  while (text.length < length) {
    const ending = random.below(9) === 0 ? random.pick([". ", ", ", ": ", `, ${random.below(10_000)} `]) : " ";
    text += random.pick(words) + ending;
  }
  return text.slice(0, length);
}
