import { describePair } from "../src/pair.ts";

describePair({ name: "mariadb-sqlite", main: "mariadb", backup: "sqlite" });
