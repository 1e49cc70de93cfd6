export interface Snippet {
  readonly language: string;
  /** The word after `run`: the server that it needs, or `vitest` for a test file. */
  readonly needs: string | null;
  readonly line: number;
  readonly code: string;
}

/** Finds the fenced blocks of a Markdown text that are marked `run`, as in "```ts run postgres". */
export function snippets(markdown: string): Snippet[] {
  const blocks = markdown.matchAll(/^```(\w+) run(?: (\w+))?[ \t]*\n(.*?)^```[ \t]*$/gms);
  return [...blocks].map(({ 1: language = "", 2: needs = null, 3: code = "", index }) => {
    return { language, needs, code, line: markdown.slice(0, index).split("\n").length };
  });
}
