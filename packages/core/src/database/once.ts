import { CheckpointError } from "../contract/errors.ts";
import { onAbort } from "./deadline.ts";

/** Opens something at first use, once, however many callers arrive together. If opening fails, the next caller tries again. */
export class Once<Result> {
  readonly #open: (signal: AbortSignal) => Promise<Result>;
  #result: Promise<Result> | null = null;

  constructor(open: (signal: AbortSignal) => Promise<Result>) {
    this.#open = open;
  }

  /** Returns what is open, or opens it. The signal of the caller that opens it counts; the others share the outcome. */
  get(signal: AbortSignal): Promise<Result> {
    if (this.#result !== null) return this.#result;
    const result = this.#open(signal);
    this.#result = result;
    result.catch(() => {
      if (this.#result === result) this.#result = null;
    });
    return result;
  }

  /** Makes the next `get` open it again. */
  forget(): void {
    this.#result = null;
  }

  /** Waits for an opening under way and returns what is open; `null`: nothing is. */
  async current(): Promise<Result | null> {
    try {
      return await this.#result;
    } catch {
      return null;
    }
  }
}

/** Something that several users share: opened at the first use of any of them, closed when the last of them closes it. */
export class Shared<Resource> {
  readonly #once: Once<Resource>;
  readonly #close: (resource: Resource) => Promise<void>;
  #opening: Opening | null = null;
  #users = 0;

  constructor(open: (signal: AbortSignal) => Promise<Resource>, close: (resource: Resource) => Promise<void>) {
    this.#once = new Once(async () => {
      const opening: Opening = { controller: new AbortController(), waiting: new Set() };
      this.#opening = opening;
      try {
        return await open(opening.controller.signal);
      } finally {
        if (this.#opening === opening) this.#opening = null; // not the next one, which a new user began
      }
    });
    this.#close = close;
  }

  #get(signal: AbortSignal): Promise<Resource> {
    const resource = this.#once.get(signal);
    return this.#opening === null ? resource : waitFor(resource, this.#opening, signal);
  }

  /** Adds a user. */
  share(): SharedUse<Resource> {
    this.#users += 1;
    let isUser = true;
    return {
      // A statement that its caller has given up may still be under way after `close`, and come here again.
      get: (signal) => (isUser ? this.#get(signal) : Promise.reject(closed())),
      close: async () => {
        if (!isUser) return;
        isUser = false;
        this.#users -= 1;
        if (this.#users > 0) return;
        const closing = this.#once.current();
        this.#once.forget(); // at once: a new user gets a resource of its own, and not the one that is being closed
        const resource = await closing;
        if (resource !== null) await this.#close(resource);
      },
    };
  }
}

/** An opening under way. */
interface Opening {
  readonly controller: AbortController;
  /** Signals of the callers that wait for it. */
  readonly waiting: Set<AbortSignal>;
}

/** Waits for an opening, which is aborted when all who wait for it have given up: users have deadlines of their own. */
function waitFor<Resource>(
  resource: Promise<Resource>,
  { controller, waiting }: Opening,
  signal: AbortSignal,
): Promise<Resource> {
  return new Promise((resolve, reject) => {
    const giveUp = () => {
      waiting.delete(signal);
      if (waiting.size === 0) controller.abort(signal.reason);
      else reject(signal.reason);
    };
    waiting.add(signal);
    const stopListening = onAbort(signal, giveUp);
    const settle = () => {
      stopListening();
      waiting.delete(signal);
    };
    resource.finally(settle).then(resolve, reject);
    if (signal.aborted) giveUp();
  });
}

function closed(): CheckpointError {
  return new CheckpointError("CLOSED", "open database: it is closed");
}

export interface SharedUse<Resource> {
  /**
   * Returns the resource, or opens it. Rejects with the signal's reason if that aborts while others go on waiting; the opening is
   * aborted with the last of them. @throws CheckpointError `CLOSED` after `close`
   */
  get(signal: AbortSignal): Promise<Resource>;
  /** Gives it up. The last user's call closes it, once an opening under way has ended. */
  close(): Promise<void>;
}
