import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Conversation, Message } from "./conversation.ts";

const SHORTEST_RUN = 3;

/** Reads the runs that are recorded in a folder: every array of messages in its JSON and JSON Lines files, at any depth. */
export function readTranscripts(folder: string): Conversation[] {
  return readdirSync(folder)
    .sort()
    .filter((name) => statSync(join(folder, name)).isFile())
    .flatMap((name) => {
      const value = parse(readFileSync(join(folder, name), "utf8"));
      return [...messageArrays(value, [])].map(([path, messages]) => ({
        title: [name, ...path].join(" "),
        header: { source: name },
        turns: messages.map((message) => [message]),
      }));
    });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {}
  try {
    return text
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line));
  } catch {
    return undefined; // not a transcript
  }
}

function* messageArrays(value: unknown, path: readonly string[]): Generator<[readonly string[], Message[]]> {
  if (typeof value !== "object" || value === null) return;
  if (Array.isArray(value) && value.length >= SHORTEST_RUN && value.every(isMessage)) {
    yield [path, value];
    return;
  }
  for (const [key, member] of Object.entries(value)) yield* messageArrays(member, [...path, key]);
}

const SAYS = ["role", "content", "message", "text", "observation", "response"];

/** An object that says something. */
function isMessage(value: unknown): value is Message {
  return typeof value === "object" && value !== null && SAYS.some((member) => Object.hasOwn(value, member));
}
