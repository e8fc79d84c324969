// The program under proof: started on ports of its own choosing, ended with the proof.
import { spawn } from "node:child_process";
import { once } from "node:events";

const started = [];

/** Runs a command to its end and gives what it printed. Who expects it to fail says with which status. */
export async function run(program, args, { env = {}, input = "", status = 0 } = {}) {
  const child = spawn(program, args, { env: { ...process.env, ...env }, stdio: ["pipe", "pipe", "pipe"] });
  child.stdin.end(input);
  let out = "";
  let err = "";
  child.stdout.on("data", (bytes) => (out += bytes));
  child.stderr.on("data", (bytes) => (err += bytes));
  const [code] = await once(child, "close");
  if (code !== status) throw new Error(`${program} ${args.join(" ")} ended with ${code}: ${err}`);
  return out;
}

/** Starts a server, and gives what `ready` finds in its log. */
export async function start(program, args, env, ready) {
  const child = spawn(program, args, { env: { ...process.env, ...env }, stdio: ["ignore", "ignore", "pipe"] });
  started.push(child);
  let log = "";
  const found = new Promise((resolve, reject) => {
    child.stderr.on("data", (bytes) => {
      log += bytes;
      const match = ready(log);
      if (match) resolve(match);
    });
    child.on("close", (code) => reject(new Error(`${args[0]} ended with ${code}: ${log.slice(-2000)}`)));
  });
  found.catch(() => {});
  return found;
}

export async function stopAll() {
  for (const child of started) {
    if (child.exitCode !== null) continue;
    child.kill("SIGTERM");
    await once(child, "close");
  }
}
