/** Returns the statement that removes all rows of a schema but its history of migrations, if there are tables yet. */
export function clearTables(schema: string): string {
  return `do $$ begin execute (
    select coalesce('truncate ' || string_agg(format('%I.%I', schemaname, tablename), ', '), 'select')
    from pg_tables where schemaname = '${schema}' and tablename <> 'waymark_migrations'
  ); end $$`;
}
