// Payments, refunds, cases and events, as somebody with the role money goes about them.

/** Waits for text on a page that nobody reloads. */
export async function told(page, selector, text) {
  await page.locator(selector, { hasText: text }).first().waitFor();
}

/** A payment is paid back: the plan is shown, its amount typed, and the page tells when it has arrived. */
export async function refunded(desk, { site }) {
  const page = await desk.tab();
  await page.goto(`${site}/payments?status=booked`);
  await page.locator("#rows th a").first().click();
  await desk.picture(page, "payment");
  await page.getByRole("link", { name: "Refund…" }).click();
  await desk.look(page);
  const amount = await page.locator("dd b").first().textContent();
  await page.getByLabel("Why, for the books").fill("asked for");
  await page.getByLabel("Type the amount").fill("0.01");
  for (const status of [400, 409, 422]) desk.expected.add(status);
  await page.getByRole("button", { name: `Refund ${amount}` }).click();
  await told(page, "[role=alert]", "");
  await desk.picture(page, "refund-mistyped");
  for (const status of [400, 409, 422]) desk.expected.delete(status);
  await page.getByLabel("Type the amount").fill(amount);
  await page.getByRole("button", { name: `Refund ${amount}` }).click();
  await told(page, "#refunds .state", "succeeded");
  await told(page, "#facts .state", "refunded");
  await desk.look(page);
  await desk.picture(page, "payment-refunded");
  await page.context().close();
}

/** Who is behind a payment is shown to who asks, and that somebody asked is noted. */
export async function revealed(desk, { site }) {
  const page = await desk.tab();
  await page.goto(`${site}/payments?limit=1000`);
  const first = page.locator("#rows th a").first();
  const id = await first.textContent();
  await first.click();
  await page.getByRole("button", { name: "Show people" }).click();
  await told(page, "table", "@example.edu");
  await desk.look(page);
  await desk.picture(page, "people-hostile");
  await page.goto(`${site}/audit`);
  await told(page, "#rows tr", "reveal");
  await told(page, "#rows tr", id);
  await page.getByRole("button").filter({ hasText: /check/i }).click();
  await told(page, "main", "whole");
  await desk.look(page);
  await page.context().close();
}

/** A case is closed with a reason: as what can be said of any, whichever is the newest. */
export async function resolved(desk, { site }) {
  const page = await desk.tab();
  await page.goto(`${site}/cases`);
  await page.locator("#rows th a").first().click();
  await page.locator("select[name=resolution]").selectOption("settled_elsewhere");
  await page.getByLabel("Why").fill("looked at by a person");
  await page.getByRole("button", { name: "Close the case" }).click();
  await told(page, "#facts .state", "closed");
  await desk.look(page);
  await desk.picture(page, "case-closed");
  await page.context().close();
}

/** An event is understood anew, and its bytes are shown. */
export async function replayed(desk, { site }) {
  const page = await desk.tab();
  await page.goto(`${site}/events?source=stripe`);
  await page.locator("#rows th a").first().click();
  await page.getByRole("button", { name: "Replay" }).click();
  await told(page, ".said", "");
  await page.getByRole("button", { name: "Show the raw bytes" }).click();
  await told(page, "pre", "evt_");
  await desk.look(page);
  await desk.picture(page, "event-raw");
  await page.context().close();
}
