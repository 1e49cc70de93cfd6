import type { Engine } from "./engine.ts";
import { durableSettings, listen, places, settings } from "./mysqld.ts";

export const mysql: Engine = {
  kind: "mysql",
  title: "MySQL",
  package: "mysql-server",
  program: {
    name: "mysqld",
    folder: "usr/sbin",
    // MariaDB's packages install an alias of this name.
    version: /Ver (\d+\.\d+\.\d+)(?!.*MariaDB)/,
    archive: {
      debian: { suite: "sid", package: "mysql-server-core" },
      ubuntu: { suite: "own", package: "^mysql-server-core(-[0-9.]+)?$" },
    },
  },
  container: { image: "mysql:8.4", port: 3306, environment: { MYSQL_ALLOW_EMPTY_PASSWORD: "yes" } },
  settings: [...settings, "--skip-log-bin", "--mysqlx=OFF"],
  durableSettings: [...durableSettings, "--skip-log-bin", "--mysqlx=OFF"],
  tidyUp: "",
  keepsDataFolder: true,
  adminUrl: (host, port) => `mysql://root@${host}:${port}/mysql`,
  versionQuery: "select version() as version",
  folderQuery: "select @@datadir as folder",
  isVersion: (version) => !version.includes("MariaDB"),
  async initialise(program, dataFolder) {
    const args = [...places(program, dataFolder), "--secure-file-priv=NULL", ...this.settings];
    // The smallest log makes half as large a folder; the server enlarges it when it needs to.
    return { program: program.path, args: [...args, "--innodb-redo-log-capacity=8M", "--initialize-insecure"] };
  },
  limit: (maxConnections) => [`--max-connections=${maxConnections}`],
  serve(program, dataFolder, port) {
    const args = [...places(program, dataFolder), "--secure-file-priv=NULL", ...this.settings];
    return { program: program.path, args: [...args, ...listen(port)] };
  },
};
