import { prose, randomNumbers } from "../conversations.ts";
import { deepCopy } from "../deep-copy.ts";
import type { Edit } from "./operations.ts";

/** The state that an agent works on and stores again and again: mostly the same object, mostly with few changes. */
export interface Draft {
  count: number;
  messages: unknown[];
  transcript: string;
  [member: string]: unknown;
}

/** Returns a draft with some history: a short state would always be stored full. */
export function newDraft(): Draft {
  return { count: 0, messages: [{ role: "system", text: prose(1, 6_000) }], transcript: "" };
}

/** Tells drafts from the other values that are stored as states. */
export function isDraft(state: unknown): state is Draft {
  return typeof state === "object" && state !== null && Array.isArray(Reflect.get(state, "messages"));
}

/**
 * Returns the draft after an edit: the same object if it is edited in place, else a copy that shares the unchanged parts.
 * Frozen parts are always copied.
 */
export function edited(draft: Draft, edit: Edit, inPlace: boolean): Draft {
  const writable = <Value extends object>(value: Value): Value => {
    if (inPlace && !Object.isFrozen(value)) return value;
    return (Array.isArray(value) ? value.slice() : { ...value }) as Value;
  };
  const next = writable(draft);
  switch (edit.edit) {
    case "append": {
      const added = Array.from({ length: edit.messages }, (_, index) => ({
        role: index % 2 === 0 ? "user" : "assistant",
        text: prose(edit.seed + index, edit.length),
      }));
      next.messages = writable(next.messages);
      next.messages.push(...added);
      return next;
    }
    case "rewrite": {
      if (next.messages.length === 0) return next;
      const at = edit.at % next.messages.length;
      next.messages = writable(next.messages);
      const message = writable(next.messages[at] as { text?: string });
      message.text = prose(edit.seed, message.text?.length ?? 100);
      next.messages[at] = message;
      return next;
    }
    case "shorten":
      next.messages = [
        { role: "system", text: `so far: ${next.messages.length}. ${prose(next.messages.length, 3_000)}` },
        ...(edit.keep === 0 ? [] : next.messages.slice(-edit.keep)),
      ];
      return next;
    case "count":
      next.count += 1;
      return next;
    case "write on":
      next.transcript += prose(edit.seed, edit.length);
      return next;
    case "touch":
      touch(next, edit.seed);
      return next;
    case "set":
      next["extra"] = deepCopy(edit.value);
      return next;
    case "reorder": {
      const entries = Object.entries(next).reverse();
      if (!inPlace || Object.isFrozen(draft)) return Object.fromEntries(entries) as Draft;
      for (const [key] of entries) delete next[key];
      return Object.assign(next, Object.fromEntries(entries));
    }
    case "replace":
      return next;
  }
}

/** Changes the values that cannot be frozen (a Map, a Set, a Date, bytes) in place, as an agent's tools do. */
function touch(draft: Draft, seed: number): void {
  const next = randomNumbers(seed);
  const tools = (draft["tools"] ?? {
    calls: new Map(),
    seen: new Set(),
    at: new Date(0),
    bytes: new Uint8Array(64),
  }) as {
    calls: Map<string, unknown>;
    seen: Set<number>;
    at: Date;
    bytes: Uint8Array;
  };
  tools.calls.set(`tool ${Math.floor(next() * 5)}`, { result: prose(seed, 200) });
  tools.seen.add(Math.floor(next() * 9));
  tools.at.setTime(seed);
  tools.bytes[Math.floor(next() * 64)] = seed % 256;
  draft["tools"] = tools;
}
