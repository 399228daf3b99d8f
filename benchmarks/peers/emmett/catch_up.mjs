// The library emmett as projector. Told by `benchmarks/peers/emmett_projection.py`:
//
//     node catch_up.mjs fill URL EVENTS < facts     append so many facts, the given ones over and over
//     node catch_up.mjs run URL EVENTS              fold them all, from nothing; says in how many milliseconds
//
// Facts are JSON: [[product id, minor units], …].

import { getPostgreSQLEventStore, postgreSQLEventStoreConsumer, postgreSQLRawSQLProjection }
  from '@event-driven-io/emmett-postgresql';
import { dumbo, rawSql, sql } from '@event-driven-io/dumbo';
import { randomUUID } from 'node:crypto';
import { text } from 'node:stream/consumers';

const APPEND_EVENTS = 500;
// Ten times its default, and no pause between pages: as fast as it can be told to be.
const pulling = { batchSize: 1000, pullingFrequencyInMs: 0 };

const [, , what, connectionString, count] = process.argv;
const events = Number(count);

async function fill() {
  const facts = JSON.parse(await text(process.stdin));
  const store = getPostgreSQLEventStore(connectionString);
  await store.schema.migrate();
  const stream = `stock-${randomUUID()}`;
  for (let first = 0; first < events; first += APPEND_EVENTS) {
    const length = Math.min(APPEND_EVENTS, events - first);
    const received = Array.from({ length }, (_, index) => {
      const [productId, minor] = facts[(first + index) % facts.length];
      return { type: 'StockReceived', data: { productId, minor } };
    });
    await store.appendToStream(stream, received);
  }
  await store.close();
}

async function run() {
  const pool = dumbo({ connectionString });
  await pool.execute.command(rawSql('DROP TABLE IF EXISTS balances'));
  await pool.execute.command(rawSql('CREATE TABLE balances (product_id uuid PRIMARY KEY, value_minor bigint)'));
  await pool.close();
  // Another name each time: its checkpoint is then at the beginning.
  const name = `balances-${randomUUID()}`;
  const begun = performance.now();
  const consumer = postgreSQLEventStoreConsumer({ connectionString, pulling });
  let left = events;
  consumer.projector({
    processorId: name,
    projection: postgreSQLRawSQLProjection({
      name,
      canHandle: ['StockReceived'],
      evolve: ({ data }) => sql(
        `INSERT INTO balances VALUES (%L, %L) ON CONFLICT (product_id)
         DO UPDATE SET value_minor = balances.value_minor + EXCLUDED.value_minor`,
        data.productId, data.minor,
      ),
    }),
    stopAfter: () => --left === 0,
  });
  await consumer.start();
  console.log(performance.now() - begun);
  await consumer.close();
}

await (what === 'fill' ? fill() : run());
