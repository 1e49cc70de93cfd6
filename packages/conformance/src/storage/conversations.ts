/**
 * States of a typical agent: long conversations, each with a few messages more than the one before. They are generated from
 * a seed, so that a test can build the expected state again.
 */

export interface Message {
  readonly role: string;
  readonly text: string;
  readonly tokens: number;
}

export interface Conversation {
  readonly seed: number;
  readonly turn: number;
  readonly messages: readonly Message[];
}

export interface ConversationShape {
  /** Index of the first message that differs from the seed's own conversation. Default: none differs. */
  readonly forkedAt?: number;
  /** Length of a message's text. Default 1,700. */
  readonly length?: number;
}

/** Returns the conversation after `turns` messages. A longer one of the same seed begins with it; so does a fork, up to `forkedAt`. */
export function conversation(
  seed: number,
  turns: number,
  { forkedAt = turns, length = 1_700 }: ConversationShape = {},
): Conversation {
  const messages = Array.from({ length: turns }, (_, turn) => message(seed, turn, length, turn >= forkedAt));
  return { seed, turn: turns, messages };
}

/** Cache of generated texts: a test generates each again whenever it compares. */
const texts = new Map<string, string>();

function message(seed: number, turn: number, length: number, forked: boolean): Message {
  const key = `${seed} ${turn} ${length} ${forked}`;
  const text = texts.get(key) ?? prose(seed * 10_007 + turn * 2 + (forked ? 1 : 0), length);
  texts.set(key, text);
  return { role: turn % 2 === 0 ? "user" : "assistant", text, tokens: turn * 7 };
}

/** Returns text that compresses about as well as human text, the same for the same seed. */
export function prose(seed: number, length: number): string {
  const next = randomNumbers(seed);
  let text = "";
  while (text.length < length) text += `${WORDS[Math.floor(next() * WORDS.length)]} ${Math.floor(next() * 999)} `;
  return text.slice(0, length);
}

const WORDS = [
  ..."the agent reads a file and finds that its test fails where nobody looked before".split(" "),
  ...'Grüße naïve 名前 🚀 \u2028 "quoted" \\back\\slash\\ \ttab line\nbreak {brace} [bracket]'.split(" "),
];

/** Returns a generator of pseudo-random numbers from 0 to 1, the same for the same seed (mulberry32). */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}
