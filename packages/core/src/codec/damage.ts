/** A stored state that does not match its length, checksum or digest. */
export class DamagedState extends Error {}

/** A stored state that is encrypted and should not be, or the other way round, or with a key that is not here. */
export class EncryptionMismatch extends DamagedState {}

/** An encoding that only a newer version knows. */
export class UnknownEncoding extends Error {}
