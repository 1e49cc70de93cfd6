export { createDatabase, type DatabaseOptions, type TestDatabase } from "./database.ts";
export { type GaleraCluster, type GaleraOptions, startGalera } from "./galera.ts";
export { urlVariable } from "./origins/url.ts";
export { type Pgbouncer, type PgbouncerOptions, startPgbouncer } from "./pgbouncer.ts";
export { type Direction, type Fate, type Interceptor, startProxy, type TcpProxy } from "./proxy.ts";
export { killable, type Origin, type Server, type ServerKind } from "./server.ts";
export { type ExhaustOptions, exhaustConnections, killConnections, setReadOnly } from "./server-faults.ts";
export { type Standby, type StandbyOptions, startStandby } from "./standby.ts";
export { type StartOptions, startServer } from "./start-server.ts";
