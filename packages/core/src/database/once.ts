/** Opens something at first use, once, however many callers arrive together. A failed opening is forgotten. */
export class Opening<Result> {
  readonly #open: (signal: AbortSignal) => Promise<Result>;
  #result: Promise<Result> | null = null;

  constructor(open: (signal: AbortSignal) => Promise<Result>) {
    this.#open = open;
  }

  /** The signal counts for the caller that starts the opening; the others share its fate. */
  get(signal: AbortSignal): Promise<Result> {
    if (this.#result !== null) return this.#result;
    const result = this.#open(signal);
    this.#result = result;
    result.catch(() => {
      if (this.#result === result) this.#result = null;
    });
    return result;
  }

  /** Opens again at the next `get`: what was open is not there any more. */
  forget(): void {
    this.#result = null;
  }

  /** What is open, once an opening under way has settled; `null` if nothing is. */
  async current(): Promise<Result | null> {
    try {
      return await this.#result;
    } catch {
      return null;
    }
  }
}
