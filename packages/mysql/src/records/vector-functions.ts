import { type PoolConnection, queryRows } from "../connection.ts";

/** What a server is able to do with vectors. */
export interface VectorFunctions {
  /** `bit_count` counts the bits of bytes of any length, as MySQL's does. MariaDB's takes them for a number of 64 bits. */
  readonly countsBits: boolean;
  /** `vec_distance_cosine`, which MariaDB has since 11.7. */
  readonly hasDistance: boolean;
}

export async function readVectorFunctions(connection: PoolConnection): Promise<VectorFunctions> {
  const [[version] = []] = await queryRows(connection, "select version()");
  const [, major, minor] = /(\d+)\.(\d+)\.\d+-mariadb/i.exec(String(version)) ?? [];
  const isMariaDb = /mariadb/i.test(String(version));
  const release = Number(major) * 1_000 + Number(minor);
  return { countsBits: !isMariaDb, hasDistance: isMariaDb && release >= 11_007 };
}
