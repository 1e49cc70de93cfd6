import { MarkdownTextSplitter } from "@langchain/textsplitters";

// No overlap: a search returns the neighbours of what it finds.
const splitter = new MarkdownTextSplitter({ chunkSize: 500, chunkOverlap: 0 });

/** Splits Markdown at headings, then at paragraphs and sentences, into parts of at most 500 characters. */
export async function split(markdown: string): Promise<string[]> {
  return await splitter.splitText(markdown);
}
