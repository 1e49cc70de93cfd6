import { createHash } from "node:crypto";
import { pick, randomNumbers } from "./random.ts";

interface Message {
  readonly role: string;
  readonly content: string;
  readonly tool?: { readonly name: string; readonly result: string };
}

interface State {
  readonly turn: number;
  readonly summary: string;
  readonly messages: readonly Message[];
}

/** Number of turns after which the older half of a history is summarised. */
const SUMMARISED_EVERY = 60;

/** States of an agent after each turn, the same for the same seed: a history that grows, and is summarised from time to time. */
export class States {
  readonly #seed: number;
  readonly #messages: Message[] = [];

  constructor(seed: number) {
    this.#seed = seed;
  }

  at(turn: number): State {
    for (let place = this.#messages.length; place <= turn; place++) this.#messages.push(message(this.#seed + place));
    const rounds = Math.floor(turn / SUMMARISED_EVERY);
    const start = rounds === 0 ? 0 : rounds * SUMMARISED_EVERY - SUMMARISED_EVERY / 2;
    return {
      turn,
      summary: rounds === 0 ? "" : prose(randomNumbers(this.#seed ^ rounds), 600),
      messages: this.#messages.slice(start, turn + 1),
    };
  }
}

/** Returns the digest of a state, or of a write's value, whichever database it comes from. */
export function digestOf(state: unknown): string {
  return createHash("sha256").update(JSON.stringify(state)).digest("hex");
}

function message(seed: number): Message {
  const next = randomNumbers(seed * 7_919);
  const content = prose(next, 100 + Math.floor(next() * 1_200));
  if (next() < 0.7) return { role: next() < 0.5 ? "user" : "assistant", content };
  return { role: "tool", content, tool: { name: "read_file", result: prose(next, Math.floor(next() * 3_000)) } };
}

const WORDS = [
  ..."the agent reads a file and finds that its test fails where nobody looked before".split(" "),
  ...'Grüße naïve 名前 🚀 \u2028 "quoted" \\back\\slash\\ \ttab line\nbreak {brace} [bracket]'.split(" "),
];

/** Returns random words of at least so many characters. */
export function prose(next: () => number, length: number): string {
  let text = "";
  while (text.length < length) text += `${pick(WORDS, next)} ${Math.floor(next() * 999)} `;
  return text;
}
