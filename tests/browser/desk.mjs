// A browser that takes offence: at console errors, broken rules of content, failed requests and what axe finds.
import { readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";

import { chromium } from "playwright-core";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

export async function open(executablePath, pictures) {
  await mkdir(pictures, { recursive: true });
  const browser = await chromium.launch({ executablePath, headless: true, args: FLAGS });
  return new Desk(browser, pictures);
}

export class Desk {
  faults = [];
  seen = 0;
  /** Answers that are meant to be refusals. */
  expected = new Set();

  constructor(browser, pictures) {
    this.browser = browser;
    this.pictures = pictures;
  }

  /** Somebody at the dashboard, with cookies of their own. */
  async tab(options = {}) {
    const context = await this.browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
    await context.addInitScript(() => {
      document.addEventListener("securitypolicyviolation", (event) => {
        console.error(`content rule broken: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
      });
    });
    const page = await context.newPage();
    page.setDefaultTimeout(30_000);
    const fault = (what) => this.faults.push(`${page.url()}: ${what}`);
    page.on("console", (message) => {
      const refused = [...this.expected].some((status) => message.text().includes(`status of ${status} `));
      if (message.type() === "error" && !refused) fault(`console: ${message.text()} ${message.location().url}`);
    });
    page.on("pageerror", (error) => fault(`script: ${error}`));
    page.on("dialog", (dialog) => {
      fault(`a dialog says: ${dialog.message()}`);
      dialog.dismiss();
    });
    page.on("request", (request) => {
      const { origin } = new URL(request.url());
      if (page.url().startsWith("http") && origin !== new URL(page.url()).origin) fault(`asked elsewhere: ${request.url()}`);
    });
    return page;
  }

  /** What axe finds on the page as it stands. */
  async look(page) {
    this.seen += 1;
    await page.evaluate(`${AXE}; undefined`);
    const found = await page.evaluate(async () => {
      const { violations } = await window.axe.run(document, { resultTypes: ["violations"] });
      return violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((node) => node.html).join(" | ")}`);
    });
    for (const violation of found) this.faults.push(`${page.url()}: axe ${violation}`);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    if (wide > 1) this.faults.push(`${page.url()}: ${wide} px wider than the window`);
  }

  async picture(page, name) {
    await page.screenshot({ path: join(this.pictures, `${name}.png`) });
  }

  async close() {
    await this.browser.close();
  }
}
