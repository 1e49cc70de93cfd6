/**
 * Whom the programs run as, for `spawn`: under root nobody, because PostgreSQL and pgbouncer refuse root;
 * otherwise us.
 */
export const account = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : undefined;
