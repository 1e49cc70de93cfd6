import { describePair } from "../src/pair.ts";

describePair({ name: "mysql-sqlite", main: "mysql", backup: "sqlite" });
