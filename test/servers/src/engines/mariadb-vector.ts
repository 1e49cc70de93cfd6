import type { Engine } from "./engine.ts";
import { mariadb } from "./mariadb.ts";

/** MariaDB with the type VECTOR and functions of distance, which it has since 11.7. */
export const mariadbVector: Engine = {
  ...mariadb,
  kind: "mariadb-vector",
  title: "MariaDB with vectors",
  package: "mariadb-server (11.7 or later)",
  program: {
    ...mariadb.program,
    version: /Ver ((?:11\.(?:[7-9]|\d\d)|(?:1[2-9]|[2-9]\d)\.\d+)\.\d+)-MariaDB/,
    archive: {
      debian: { suite: "trixie", package: "mariadb-server-core" },
      ubuntu: { suite: "resolute", package: "mariadb-server-core" },
    },
  },
  container: { ...mariadb.container, image: "mariadb:11.8" },
  isVersion: (version) => /^(11\.([7-9]|\d\d)|(1[2-9]|[2-9]\d)\.).*MariaDB/.test(version),
};
