export { createDatabase, type TestDatabase } from "./database.ts";
export { type Pgbouncer, type PgbouncerOptions, startPgbouncer } from "./pgbouncer.ts";
export { type Direction, type Fate, type Interceptor, startProxy, type TcpProxy } from "./proxy.ts";
export { killable, type Origin, type Server, type ServerKind, type StartOptions, startServer } from "./server.ts";
