import { createHash } from "node:crypto";
import { numbers, pick } from "./random.ts";

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

/** After so many turns the older half of a history is summarised. */
const SUMMARISED_EVERY = 60;

/** What an agent's state is after each turn, always the same for the same seed: a history that grows, and is summarised at times. */
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
      summary: rounds === 0 ? "" : prose(numbers(this.#seed ^ rounds), 600),
      messages: this.#messages.slice(start, turn + 1),
    };
  }
}

/** Names the content of a state, or of a write, whichever database it comes from. */
export function digestOf(state: unknown): string {
  return createHash("sha256").update(JSON.stringify(state)).digest("hex");
}

function message(seed: number): Message {
  const next = numbers(seed * 7_919);
  const content = prose(next, 100 + Math.floor(next() * 1_200));
  if (next() < 0.7) return { role: next() < 0.5 ? "user" : "assistant", content };
  return { role: "tool", content, tool: { name: "read_file", result: prose(next, Math.floor(next() * 3_000)) } };
}

const WORDS = [
  ..."the agent reads a file and finds that its test fails where nobody looked before".split(" "),
  ...'Grüße naïve 名前 🚀 \u2028 "quoted" \\back\\slash\\ \ttab line\nbreak {brace} [bracket]'.split(" "),
];

/** So many characters, and some more. */
export function prose(next: () => number, length: number): string {
  let text = "";
  while (text.length < length) text += `${pick(WORDS, next)} ${Math.floor(next() * 999)} `;
  return text;
}
