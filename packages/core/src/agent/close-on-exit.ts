import { constants } from "node:os";
import { checkCloseOptions } from "../checkpoints/arguments.ts";
import type { CloseOptions } from "../contract/checkpoints.ts";
import { invalidArgument, property } from "../contract/errors.ts";
import { isServer, type NodeServer, ServerCloser } from "./close-server.ts";

/**
 * A part of a program that ends: a storage; a server of `node:http`, `node:https` or `node:http2`, which the frameworks on it
 * return or have as a member; a handle of automatic checkpoints; an object with `close` or `Symbol.asyncDispose`; a function.
 */
export type Closable =
  | { close(options: CloseOptions): unknown }
  | NodeServer
  | AsyncDisposable
  | ((options: CloseOptions) => unknown);

/** Parts of one call, in order. */
interface Registration {
  readonly parts: readonly Part[];
  readonly options: CloseOptions;
}

interface Part {
  close(options: CloseOptions): unknown;
  /** Undoes the registration. */
  release(): void;
}

/** Default of {@link CloseOptions.timeoutMs}. */
const TIMEOUT_MS = 10_000;

/** What to close, by the first part; one listener serves all of them: Node warns of more than ten. */
const registered = new Map<Closable, Registration>();

/**
 * Closes a storage when the process gets SIGINT or SIGTERM, or has nothing left to do: calls under way are finished, and the
 * backup's backlog is sent within `timeoutMs`. Then the process ends as it would have: by the signal, so that its parent
 * sees that, or as other listeners of the signal decide. A second signal ends it at once. Errors of closing are ignored.
 *
 * A list is closed in its order, each part when the one before it has ended: first the server, then what saves, then the
 * storage. A server takes no more connections, answers the requests that have arrived, each with `Connection: close`, and
 * gives idle connections half a second for a request that is on its way. `timeoutMs` (default 10,000) is the time for the
 * whole list: each part gets what is left of it, and is not waited for beyond it, except for the last.
 *
 * A second call with the same storage, or the same first part, changes nothing. Returns a function that undoes it.
 * @throws CheckpointError `INVALID_ARGUMENT`
 */
export function closeOnExit(target: Closable | readonly Closable[], options: CloseOptions = {}): () => void {
  const isList = Array.isArray(target);
  const targets: readonly Closable[] = isList ? target : [target as Closable];
  const [key] = targets;
  if (key === undefined) throw invalidArgument("targets", "a list of at least one", target);
  checkCloseOptions(options);
  for (const [index, one] of targets.entries()) checkClosable(isList ? `targets[${index}]` : "storage", one);
  if (!registered.has(key)) {
    if (registered.size === 0) listen();
    registered.set(key, { parts: targets.map(toPart), options });
  }
  return () => {
    for (const { release } of registered.get(key)?.parts ?? []) release();
    if (registered.delete(key) && registered.size === 0) stopListening();
  };
}

function checkClosable(field: string, value: Closable): void {
  if (typeof value === "function") return;
  if (typeof property(value, "close") === "function") return;
  if (typeof property(value, Symbol.asyncDispose) === "function") return;
  throw invalidArgument(field, "a storage, a server, or another object with the method close", value);
}

function toPart(target: Closable): Part {
  const release = () => {};
  if (isServer(target)) {
    const closer = new ServerCloser(target);
    return { close: ({ timeoutMs = TIMEOUT_MS }) => closer.close(timeoutMs), release: () => closer.release() };
  }
  if (typeof target === "function") return { close: (options) => target(options), release };
  if ("close" in target) return { close: (options) => target.close(options), release };
  return { close: () => target[Symbol.asyncDispose](), release };
}

function listen(): void {
  process.on("SIGINT", endBy).on("SIGTERM", endBy).on("beforeExit", closeAll);
}

function stopListening(): void {
  process.off("SIGINT", endBy).off("SIGTERM", endBy).off("beforeExit", closeAll);
}

async function endBy(signal: NodeJS.Signals): Promise<void> {
  stopListening(); // the next signal ends the process
  await closeAll();
  // Other listeners may have work of their own to finish: then the signal alone would not have ended the process either.
  if (process.listenerCount(signal) > 0) return;
  process.kill(process.pid, signal);
  // The first process of a container is not ended by a signal that it sends to itself.
  process.exit(128 + constants.signals[signal]);
}

async function closeAll(): Promise<void> {
  stopListening();
  const registrations = [...registered.values()];
  registered.clear();
  await Promise.all(registrations.map(closeInOrder));
}

/** Never rejects. */
async function closeInOrder({ parts, options }: Registration): Promise<void> {
  if (parts.length === 1) return await closePart(parts[0] as Part, options);
  const { timeoutMs = TIMEOUT_MS } = options;
  const until = performance.now() + timeoutMs;
  for (const [index, part] of parts.entries()) {
    const leftMs = Math.max(0, Math.ceil(until - performance.now()));
    const closing = closePart(part, { ...options, timeoutMs: leftMs });
    if (index === parts.length - 1) await closing;
    else await endsWithin(closing, leftMs);
  }
}

async function closePart(part: Part, options: CloseOptions): Promise<void> {
  try {
    await part.close(options);
  } catch {
    // the process ends all the same
  }
}

async function endsWithin(closing: Promise<void>, timeoutMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, timeoutMs);
  });
  await Promise.race([closing, late]);
  clearTimeout(timer);
}
