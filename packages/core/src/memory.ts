/** `@waymark/core/memory`: what an agent remembers. What authors of backends need is in `memory-kit.ts`. */
export { type OpenMemoryOptions, openMemoryStorage } from "./config/open-memory.ts";
export * from "./memory/contract.ts";
export type { Conversation, Message, StoredConversation, StoredMessage } from "./memory/conversations.ts";
export { type ForgetOptions, type ForgottenEverywhere, forget } from "./memory/forget-everywhere.ts";
export type { CollectionOptions, CommonMemoryOptions } from "./memory/options.ts";
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
} from "./memory/repositories.ts";
export {
  createStorageBackend,
  type FoundMemory,
  type HybridOptions,
  type Memory,
  type SearchOptions,
  type StorageBackend,
  type StorageBackendOptions,
} from "./memory/storage-backend.ts";
export type { Language } from "./memory/words.ts";
