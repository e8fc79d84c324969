// The same job on the same server, in other people's queues: two HTTP calls one after the other, the second with the
// answer of the first. Filled first, then drained; `node peers.mjs <name> <jobs>` with PGHOST, PGUSER and an empty
// PGDATABASE. Prints one line of JSON.
import http from "node:http";
import pg from "pg";

const [name, count] = [process.argv[2], Number(process.argv[3] ?? 2000)];
const CONCURRENCY = 64;
const connectionString = `postgresql://${process.env.PGUSER}@${process.env.PGHOST}:${process.env.PGPORT ?? 5432}/${process.env.PGDATABASE}`;

// What the sandbox is to discuno: in the same process, over loopback HTTP.
const server = http.createServer((request, response) => {
  request.resume().on("end", () => response.end(JSON.stringify({ id: "x" })));
});
await new Promise((done) => server.listen(0, "127.0.0.1", done));
const base = `http://127.0.0.1:${server.address().port}`;
const agent = new http.Agent({ keepAlive: true, maxSockets: CONCURRENCY });
const call = (path) =>
  new Promise((done, failed) => {
    const request = http.request(`${base}${path}`, { method: "POST", agent }, (response) => {
      let body = "";
      response.on("data", (part) => (body += part)).on("end", () => done(JSON.parse(body)));
    });
    request.on("error", failed).end("{}");
  });

let left = count;
let drained;
const empty = new Promise((done) => (drained = done));
const ended = () => {
  left -= 1;
  if (left === 0) drained();
};

const peers = {
  async graphile() {
    const { makeWorkerUtils, run } = await import("graphile-worker");
    const utils = await makeWorkerUtils({ connectionString });
    await utils.migrate();
    for (let at = 0; at < count; at += 500) {
      const some = Array.from({ length: Math.min(500, count - at) }, (_, n) => ({ identifier: "job", payload: { n } }));
      await utils.addJobs(some);
    }
    await utils.release();
    return async () => {
      const job = async () => {
        const { id } = await call("/one");
        await call(`/two/${id}`);
        ended();
      };
      const runner = await run({ connectionString, concurrency: CONCURRENCY, taskList: { job }, noHandleSignals: true, maxPoolSize: 10 });
      await empty;
      await runner.stop();
    };
  },

  async boss() {
    const { default: Boss } = await import("pg-boss");
    const boss = new Boss({ connectionString, max: 10 });
    await boss.start();
    await boss.createQueue("job");
    for (let at = 0; at < count; at += 500) {
      await boss.insert(Array.from({ length: Math.min(500, count - at) }, (_, n) => ({ name: "job", data: { n } })));
    }
    return async () => {
      await boss.work("job", { batchSize: CONCURRENCY, pollingIntervalSeconds: 0.5 }, async (jobs) => {
        await Promise.all(
          jobs.map(async () => {
            const { id } = await call("/one");
            await call(`/two/${id}`);
            ended();
          }),
        );
      });
      // It polls: told of more it looks again at once.
      const nudge = setInterval(() => boss.notifyWorker?.("job"), 50);
      await empty;
      clearInterval(nudge);
      await boss.stop({ graceful: true });
    };
  },

  async dbos() {
    const { DBOS } = await import("@dbos-inc/dbos-sdk");
    DBOS.setConfig({ name: "bench", systemDatabaseUrl: connectionString, logLevel: "error", runAdminServer: false });
    const job = DBOS.registerWorkflow(
      async () => {
        const { id } = await DBOS.runStep(() => call("/one"), { name: "one" });
        await DBOS.runStep(() => call(`/two/${id}`), { name: "two" });
        ended();
      },
      { name: "job" },
    );
    await DBOS.launch();
    return async () => {
      // Started, not queued: what its own guide calls fastest.
      let next = 0;
      const lane = async () => {
        while (next < count) {
          next += 1;
          await (await DBOS.startWorkflow(job)()).getResult();
        }
      };
      await Promise.all(Array.from({ length: CONCURRENCY }, lane));
      await empty;
      await DBOS.shutdown();
    };
  },
};

const client = new pg.Client({ connectionString });
await client.connect();
const load = async () => {
  const { rows } = await client.query(
    `SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8 AS wal,
       (SELECT sum(xact_commit + xact_rollback)::float8 FROM pg_stat_database) AS transactions`,
  );
  return rows[0];
};
const drain = await peers[name]();
const before = await load();
const start = performance.now();
await drain();
const seconds = (performance.now() - start) / 1000;
await new Promise((done) => setTimeout(done, 1500));
const after = await load();
console.log(
  JSON.stringify({
    name,
    jobs: count,
    per_second: Math.round(count / seconds),
    transactions_per_job: +((after.transactions - before.transactions) / count).toFixed(2),
    wal_bytes_per_job: Math.round((after.wal - before.wal) / count),
  }),
);
process.exit(0);
