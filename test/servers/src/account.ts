/**
 * User that server programs run as, for `spawn`. Under root it is nobody, because PostgreSQL and pgbouncer refuse root; otherwise
 * it is the user of this process.
 */
export const account = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : undefined;
