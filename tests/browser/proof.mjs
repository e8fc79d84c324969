// Every page and act of the dashboard, in a browser: node proof.mjs <discuno> <chromium> <fixtures> <scratch> <pictures>
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { crawl } from "./crawl.mjs";
import { open } from "./desk.mjs";
import { refunded, replayed, resolved, revealed, told } from "./money.mjs";
import { run, start, stopAll } from "./server.mjs";

const [program, chromium, fixtures, scratch, pictures] = process.argv.slice(2);
/** How many purchases the long lists hold: more than two pages. */
const ROWS = Number(process.env.ROWS ?? 2500);
const HOSTILE = `<img src=x onerror=alert(1)>"'&\u202e\u0000</script><script>alert(2)</script>${"W".repeat(180)}`;
const PASSWORD = "a-password-for-the-proof";

/** Files, or databases of these names on the server whose address without one is in `SERVER`. */
const database = (name) => (process.env.SERVER ? `${process.env.SERVER}/${name}` : join(scratch, `${name}.db`));

/** A deployment against the sandbox, and what is needed to act on it. */
async function playground(name) {
  const db = database(name);
  const args = ["dev", "--db", db, "--listen", "127.0.0.1:0", "--sandbox", "127.0.0.1:0"];
  const env = { DISCUNO_LOG_FILE: join(scratch, `${name}.log`) };
  const said = /dashboard (http:\S+)\/\n[^]*sandbox {3}(http:\S+)\/sandbox/;
  const [, site, sandbox] = await start(program, args, env, (log) => said.exec(log));
  const replay = (...more) => run(program, ["replay", "--to", site, ...more]);
  const shell = (...words) => run(program, [...words, "--db", db]);
  return { site, sandbox, replay, shell };
}

/** One purchase by somebody whose name does harm where it is not escaped. */
async function hostile() {
  const [purchase] = JSON.parse(await readFile(join(fixtures, "stripe.json"), "utf8"));
  const text = JSON.stringify(purchase).replaceAll("Demo0", "Evil0").replaceAll("456101", "456999");
  const event = JSON.parse(text);
  event.data.object.metadata.attendeeName = HOSTILE.replace("\u0000", "");
  event.data.object.metadata.mentorUsername = HOSTILE;
  const path = join(scratch, "hostile.json");
  await writeFile(path, JSON.stringify(event));
  return path;
}

async function faults(sandbox, fault) {
  const headers = { "content-type": "application/json" };
  const init = fault ? { method: "POST", headers, body: JSON.stringify(fault) } : { method: "DELETE" };
  const answer = await fetch(`${sandbox}/sandbox/faults`, init);
  if (!answer.ok) throw new Error(`the sandbox answers ${answer.status}`);
}

/** A run fails under the eyes of an operator, who has it go on and sees it succeed. */
async function retried(desk, { site, sandbox, replay }) {
  const refuse = { kind: "refuse", status: 418, code: "teapot", message: HOSTILE.replace("\u0000", "") };
  await faults(sandbox, { provider: "mail", operation: "emails.send", effect: refuse });
  const page = await desk.tab();
  await page.goto(`${site}/runs?workflow=send-email&status=failed&since=1h`);
  await page.evaluate(() => (window.untouched = true));
  const before = await page.locator("#rows tr").count();
  await replay(await hostile());
  await page.waitForFunction((before) => document.querySelectorAll("#rows tr").length > before, before);
  if (!(await page.evaluate(() => window.untouched))) throw new Error("the list was reloaded");
  await desk.look(page);
  await desk.picture(page, "runs-failed-hostile");
  await page.locator("#rows tr a").first().click();
  await told(page, "#facts", "failed");
  await desk.look(page);
  await desk.picture(page, "run-failed");
  await faults(sandbox);
  await page.locator("form[action$='/retry'] input[name=reason]").fill("mail is back");
  await page.getByRole("button", { name: "Retry" }).click();
  await told(page, ".said", "retried");
  await told(page, "#facts", "succeeded");
  await desk.look(page);
  await desk.picture(page, "run-retried");
  await page.context().close();
}

/** A provider is held back and goes on. */
async function heldBack(desk, { site, shell }) {
  const page = await desk.tab();
  await page.goto(`${site}/providers`);
  const form = page.locator("form[action='/providers/pause']");
  await form.getByLabel("What").selectOption("provider/cal");
  await form.getByLabel("Why").fill(HOSTILE.replace("\u0000", ""));
  await form.getByRole("button").click();
  await told(page, ".said", "provider/cal is held back");
  await told(page, "#rows tr", "paused");
  if (!(await shell("pause")).includes("provider/cal")) throw new Error("the command line does not know of the pause");
  await desk.look(page);
  await desk.picture(page, "providers-paused");
  await page.goto(`${site}/`);
  await told(page, "#work", "provider/cal is paused");
  await desk.look(page);
  await desk.picture(page, "now-paused");
  await page.goto(`${site}/providers`);
  await page.getByRole("button", { name: "Resume cal" }).click();
  await told(page, ".said", "goes on");
  await page.context().close();
}

/** Everything that has failed is retried at once: what is meant is shown, and its number typed. */
async function retriedAtOnce(desk, { site, sandbox, replay }) {
  const refuse = { kind: "refuse", status: 418, code: "teapot", message: "no" };
  await faults(sandbox, { provider: "mail", operation: "emails.send", effect: refuse });
  const page = await desk.tab();
  await page.goto(`${site}/runs?workflow=send-email&status=failed`);
  const before = await page.locator("#rows tr").count();
  await replay(await hostile(), "--times", "3");
  await page.waitForFunction((before) => document.querySelectorAll("#rows tr").length > before + 1, before);
  await faults(sandbox);
  await page.getByRole("link", { name: "retry…" }).click();
  const count = await page.locator("strong").first().textContent();
  await desk.look(page);
  await desk.picture(page, "runs-retry-all");
  await page.getByLabel("Type how many").fill("0");
  desk.expected.add(409);
  await page.getByRole("button", { name: "Retry them" }).click();
  await told(page, "main", "nothing was done");
  desk.expected.delete(409);
  await page.goBack();
  await page.getByLabel("Type how many").fill(count);
  await page.getByRole("button", { name: "Retry them" }).click();
  await told(page, ".said", `of ${count} done`);
  await page.context().close();
}

/** A test alert is sent and seen to arrive. */
async function alerted(desk, { site }) {
  const page = await desk.tab();
  await page.goto(`${site}/alerts`);
  await page.getByRole("button", { name: "Send a test" }).click();
  await told(page, ".said", "a test is on its way");
  await page.waitForFunction(() => {
    const row = [...document.querySelectorAll("#rows tr")].find((row) => row.textContent.includes("test"));
    return row && row.querySelector("td:last-child time");
  });
  await desk.look(page);
  await desk.picture(page, "alerts-tested");
  await page.context().close();
}

/** One run is ended, and then all that match: what is meant is shown, and its number typed. */
async function cancelled(desk) {
  const { site, shell, replay } = await playground("cancelled");
  await shell("pause", "process-checkout-side-effects", "--reason", "proof");
  await replay(await hostile(), "--times", "5");
  const page = await desk.tab();
  await page.goto(`${site}/runs?workflow=process-checkout-side-effects&status=queued`);
  await page.locator("#rows tr a").first().click();
  const form = page.locator("form[action$='/cancel']");
  await form.locator("input[name=reason]").fill(HOSTILE.replace("\u0000", ""));
  await form.getByRole("button").click();
  await told(page, ".said", "it is cancelled");
  await told(page, "#facts", "cancelled");
  await desk.look(page);
  await desk.picture(page, "run-cancelled");
  await page.goto(`${site}/runs?workflow=process-checkout-side-effects&status=queued`);
  await page.getByRole("link", { name: "cancel…" }).click();
  const count = await page.locator("strong").first().textContent();
  if (count !== "4") throw new Error(`${count} runs are to be cancelled, and 4 are there`);
  await desk.look(page);
  await desk.picture(page, "runs-cancel-all");
  await page.getByLabel("Type how many").fill(count);
  await page.getByRole("button", { name: "Cancel them" }).click();
  await told(page, ".said", `of ${count} done`);
  await page.goto(`${site}/runs?workflow=process-checkout-side-effects&status=cancelled`);
  if ((await page.locator("#rows tr").count()) !== 5) throw new Error("not all that were cancelled are listed");
  await page.context().close();
}

/** A scene is played and a fault switched on and off, from the sandbox's own page. */
async function played(desk, { site }) {
  const page = await desk.tab();
  await page.goto(`${site}/sandbox`);
  await page.locator("select[name=provider]").selectOption("posthog");
  await page.locator("select[name=effect]").selectOption("limited");
  await page.getByLabel("How often").fill("2");
  await page.getByRole("button", { name: "Switch on" }).click();
  await told(page, "#faults li", "posthog");
  await page.getByRole("button", { name: "Replay app.json" }).click();
  await told(page, ".said", "accepted");
  await desk.look(page);
  await desk.picture(page, "sandbox");
  await page.getByRole("button", { name: "Switch all off" }).click();
  await told(page, ".said", "switched off");
  await page.context().close();
}

/** The log is searched in the words of the command. */
async function searched(desk, { site }) {
  const page = await desk.tab();
  await page.goto(`${site}/logs`);
  await page.getByLabel("Conditions").fill("event=run_failed");
  await page.getByRole("button", { name: "Search" }).click();
  await told(page, "tbody th", "run_failed");
  await desk.look(page);
  await desk.picture(page, "logs-searched");
  await page.context().close();
}

/** Who comes in, as what, and who does not. */
async function loggedIn(desk) {
  const entry = (name, role) => run(program, ["password", name, "--role", role], { input: PASSWORD });
  const users = `${(await entry("mia", "viewer")).trim()} ${(await entry("tom", "operator")).trim()}`;
  const env = {
    DISCUNO_USERS: users, DISCUNO_ADMIN_TOKEN: "money:0123456789abcdef", DISCUNO_LISTEN: "127.0.0.1:0",
    STRIPE_WEBHOOK_SECRET: "whsec_proof", CALCOM_WEBHOOK_SECRET: "proof", DISCUNO_MODE: "test",
  };
  const args = ["serve", "--db", database("dev"), "--admin-listen", "127.0.0.1:0"];
  const [, address] = await start(program, args, env, (log) => /"?dashboard"?[=:] ?"?(127\.0\.0\.1:\d+)/.exec(log));
  const site = `http://${address}`;
  const page = await desk.tab();
  const enter = async (name, password) => {
    await page.getByLabel("Name").fill(name);
    await page.getByLabel("Password").fill(password);
    await page.getByRole("button", { name: "Log in" }).click();
  };
  await page.goto(`${site}/runs?status=failed`);
  await desk.look(page);
  await desk.picture(page, "login");
  desk.expected.add(401);
  await enter("mia", "wrong");
  await told(page, "[role=alert]", "not right");
  desk.expected.delete(401);
  await enter("mia", PASSWORD);
  await page.waitForURL(`${site}/runs?status=failed`);
  await told(page, ".who", "viewer");
  await page.getByRole("button", { name: "Log out" }).click();
  await page.waitForURL(`${site}/login`);
  await enter("", "0123456789abcdef");
  await told(page, ".who", "money");
  await page.context().close();
}

/** Lists of many thousands of rows. */
async function long(desk) {
  const { site, shell, replay } = await playground("long");
  await shell("pause", "process-checkout-side-effects", "--reason", "proof");
  await replay(await hostile(), "--times", String(ROWS), "--concurrency", "16");
  const page = await desk.tab();
  for (const list of ["runs?limit=1000", "runs?workflow=process-checkout-side-effects&limit=1000"]) {
    await page.goto(`${site}/${list}`);
    if ((await page.locator("#rows tr").count()) !== 1000) throw new Error(`${list} does not show 1000 rows`);
    await desk.picture(page, `long-${list.replaceAll(/\W+/g, "-")}`);
  }
  let rows = 0;
  for (;;) {
    rows += await page.locator("#rows tr").count();
    const older = page.getByRole("link", { name: "Older" });
    if ((await older.count()) === 0) break;
    await page.goto(new URL(await older.getAttribute("href"), site).href);
  }
  if (rows < ROWS) throw new Error(`${rows} of ${ROWS} rows were shown`);
  await page.context().close();
}

const desk = await open(chromium, pictures);
/** A story that goes wrong does not keep the others from being told. */
async function tell(story, ...rest) {
  try {
    return await story(...rest);
  } catch (error) {
    desk.faults.push(error.stack);
    return undefined;
  }
}

const dev = await tell(playground, "dev");
if (dev) {
  await tell(dev.replay, join(fixtures, "stripe.json"));
  await tell(dev.replay, ...["cal", "life", "connect", "app"].map((name) => join(fixtures, `${name}.json`)));
  for (const story of [retried, retriedAtOnce, refunded, revealed, resolved, replayed, heldBack, alerted, played, searched]) await tell(story, desk, dev);
  await tell(cancelled, desk);
  await tell(crawl, desk, dev.site);
  await tell(loggedIn, desk);
  await tell(long, desk);
}
await desk.close();
await stopAll();
if (desk.faults.length > 0) {
  console.error(desk.faults.join("\n"));
  process.exit(1);
}
console.log(`the dashboard stands in a browser: ${desk.seen} looks`);
