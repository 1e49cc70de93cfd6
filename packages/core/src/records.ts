/** `@waymark/core/records`: for packages that keep tables of their own, as data, in the databases of the dialects. */
export { type OpenRecordsOptions, openRecordStore, type RecordSchemas } from "./config/open-records.ts";
export { checkText, integer, objectWithKeys, oneOf, refuseUndefined } from "./contract/checks.ts";
export { CheckpointError, invalidArgument, property } from "./contract/errors.ts";
export { unref } from "./database/deadline.ts";
export { forward } from "./database/forward.ts";
export { IdClock } from "./database/ids.ts";
export type { DomainSchema, Migration } from "./database/migrations.ts";
export { nearSignatures } from "./memory/ranking.ts";
export { cosine, MAX_DIMENSIONS, signatureOf } from "./memory/signature.ts";
export type { RecordDialect } from "./record-store/dialect.ts";
export * from "./record-store/store.ts";
export * from "./records/records.ts";
export * from "./records/tables.ts";
