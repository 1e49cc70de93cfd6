import { constants } from "node:os";
import type { CloseOptions } from "../contract/checkpoints.ts";
import { describeThrown, invalidArgument, property } from "../contract/errors.ts";
import { checkCloseOptions } from "../database/arguments.ts";
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

/** The parts of one call, in order. */
interface Registration {
  readonly parts: readonly Part[];
  readonly options: CloseOptions;
}

/** Default of {@link CloseOptions.timeoutMs}. */
const TIMEOUT_MS = 10_000;

/** Parts to close; one listener serves all of them: Node warns of more than ten. */
const registered = new Set<Registration>();

/** The parts of all registrations: one that is in several of them is closed once. */
const registeredParts = new Map<Closable, Part>();

/**
 * Closes a storage when the process gets SIGINT or SIGTERM, or has nothing left to do: calls under way are finished, and the
 * backup's backlog is sent within `timeoutMs`. Then the process ends as it would have: by the signal, so that its parent
 * sees that, or as other listeners of the signal decide. A second signal ends it at once. A failure to close is a warning of
 * the process (code `WAYMARK_CLOSE`), and does not keep the others from being closed.
 *
 * A list is closed in its order, each part when the one before it has ended: first the server, then what saves, then the
 * storage. A server takes no more connections, answers the requests that have arrived, each with `Connection: close`, and
 * gives idle connections half a second for a request that is on its way. `timeoutMs` (default 10,000) is the time for the
 * whole list: each part gets what is left of it, and is not waited for beyond it, except for the last.
 *
 * A part of several calls is closed once, after all that is before it in any of their lists, with the time that is
 * left of the list that comes to it last. So a module may register its storage, and the program a server before it. Returns a
 * function that undoes this call.
 * @throws CheckpointError `INVALID_ARGUMENT`
 */
export function closeOnExit(target: Closable | readonly Closable[], options: CloseOptions = {}): () => void {
  const isList = Array.isArray(target);
  const targets: readonly Closable[] = isList ? target : [target as Closable];
  if (targets.length === 0) throw invalidArgument("targets", "a list of at least one", target);
  checkCloseOptions(options);
  for (const [index, one] of targets.entries()) checkClosable(isList ? `targets[${index}]` : "storage", one);
  const isLastPlace = (one: Closable, index: number) => targets.lastIndexOf(one) === index;
  const registration = { parts: targets.filter(isLastPlace).map(partOf), options };
  if (registered.size === 0) listen();
  registered.add(registration);
  return () => {
    if (!registered.delete(registration)) return;
    for (const part of registration.parts) part.leave();
    if (registered.size === 0) stopListening();
  };
}

function checkClosable(field: string, value: Closable): void {
  if (typeof value === "function") return;
  if (typeof property(value, "close") === "function") return;
  if (typeof property(value, Symbol.asyncDispose) === "function") return;
  throw invalidArgument(field, "a storage, a server, or another object with the method close", value);
}

/** Returns the part of a target, for one more registration. */
function partOf(target: Closable): Part {
  const part = registeredParts.get(target) ?? new Part(target);
  registeredParts.set(target, part);
  part.enter();
  return part;
}

/** A target, in one registration or more. */
class Part {
  readonly #target: Closable;
  /** Set for a server. */
  readonly #closer: ServerCloser | null;
  /** Number of registrations with it that have not come to it yet. */
  #registrations = 0;
  readonly #closed: Promise<void>;
  #resolve = () => {};

  constructor(target: Closable) {
    this.#target = target;
    this.#closer = isServer(target) ? new ServerCloser(target) : null;
    this.#closed = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  enter(): void {
    this.#registrations += 1;
  }

  leave(): void {
    this.#registrations -= 1;
    if (this.#registrations > 0) return;
    this.#closer?.release();
    registeredParts.delete(this.#target);
  }

  /** Closes it, unless a registration has not come to it yet, which will do it. Resolves when it is closed; never rejects. */
  async close(options: CloseOptions): Promise<void> {
    this.#registrations -= 1;
    if (this.#registrations === 0) {
      try {
        await this.#close(options);
      } catch (error) {
        await warnOfFailure(error);
      }
      this.#resolve();
    }
    await this.#closed;
  }

  async #close(options: CloseOptions): Promise<unknown> {
    const target = this.#target;
    if (this.#closer !== null) return await this.#closer.close(options.timeoutMs ?? TIMEOUT_MS);
    if (typeof target === "function") return await target(options);
    if ("close" in target) return await target.close(options);
    return await (target as AsyncDisposable)[Symbol.asyncDispose]();
  }
}

/** Resolves when the warning is printed: the process might end before. */
async function warnOfFailure(error: unknown): Promise<void> {
  const message = `closeOnExit: closing a part of the program failed: ${describeThrown(error)}`;
  process.emitWarning(message, { type: "WaymarkWarning", code: "WAYMARK_CLOSE" });
  await new Promise<void>((resolve) => process.nextTick(resolve));
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
  const registrations = [...registered];
  registered.clear();
  registeredParts.clear();
  await Promise.all(registrations.map(closeInOrder));
}

/** Never rejects. */
async function closeInOrder({ parts, options }: Registration): Promise<void> {
  if (parts.length === 1) return await (parts[0] as Part).close(options);
  const { timeoutMs = TIMEOUT_MS } = options;
  const until = performance.now() + timeoutMs;
  let isOver = false; // not told by the clock alone: a timer may end some milliseconds before it
  for (const [index, part] of parts.entries()) {
    const leftMs = isOver ? 0 : Math.max(0, Math.ceil(until - performance.now()));
    const closing = part.close({ ...options, timeoutMs: leftMs });
    if (index === parts.length - 1) await closing;
    else if (!(await endsWithin(closing, leftMs))) isOver = true;
  }
}

/** Returns whether it has ended in time. */
async function endsWithin(closing: Promise<void>, timeoutMs: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), timeoutMs);
  });
  const isEnded = await Promise.race([closing.then(() => true), late]);
  clearTimeout(timer);
  return isEnded;
}
