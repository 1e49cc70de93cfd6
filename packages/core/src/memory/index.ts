/** `@waymark/core/memory`: what an agent remembers. What authors of backends need is in `kit.ts`. */
export * from "./contract.ts";
export type { Conversation, Message, StoredConversation, StoredMessage } from "./conversations.ts";
export type { CollectionOptions, CommonMemoryOptions } from "./options.ts";
export {
  type ConversationRepository,
  createConversationRepository,
  createDocumentRepository,
  type Document,
  type DocumentChange,
  type DocumentHead,
  type DocumentRepository,
  type NewConversation,
  type NewDocument,
  type RepositoryOptions,
  type RepositoryPage,
  type SimilarDocument,
  type SimilaritySearch,
} from "./repositories.ts";
export {
  createStorageBackend,
  type FoundMemory,
  type HybridOptions,
  type Memory,
  type SearchOptions,
  type StorageBackend,
  type StorageBackendOptions,
} from "./storage-backend.ts";
export type { Language } from "./words.ts";
