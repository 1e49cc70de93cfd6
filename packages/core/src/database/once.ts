import { CheckpointError } from "../contract/errors.ts";

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
  #users = 0;

  constructor(open: (signal: AbortSignal) => Promise<Resource>, close: (resource: Resource) => Promise<void>) {
    this.#once = new Once(open);
    this.#close = close;
  }

  /** Adds a user. */
  share(): SharedUse<Resource> {
    this.#users += 1;
    let isUser = true;
    return {
      get: async (signal) => {
        // A statement that its caller has given up may still be under way, and come here again.
        if (!isUser) throw new CheckpointError("CLOSED", "open the database: it is closed");
        return await this.#once.get(signal);
      },
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

export interface SharedUse<Resource> {
  /** Returns the resource, or opens it. @throws CheckpointError `CLOSED` after `close` */
  get(signal: AbortSignal): Promise<Resource>;
  /** Gives it up. The last user's call closes it, once an opening under way has ended. */
  close(): Promise<void>;
}
