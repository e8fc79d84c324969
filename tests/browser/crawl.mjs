// Every page that a link leads to, light and dark, wide and narrow.

/** Most pages; one of each kind is looked at. */
const MOST = 120;

/** Pages of one kind: ids, times and values left out. */
function kind({ pathname, searchParams }) {
  const path = pathname.split("/").map((part) => (/^[a-z]+_/.test(part) ? ":id" : part)).join("/");
  const asked = [...searchParams.keys()].filter((name) => name !== "before").sort();
  return `${path} ${asked.join(" ")}`;
}

export async function crawl(desk, site) {
  const page = await desk.tab();
  const narrow = await desk.tab({ viewport: { width: 390, height: 844 }, colorScheme: "dark", isMobile: true });
  const [known, left] = [new Set(), [new URL("/", site)]];
  while (left.length > 0) {
    if (known.size > MOST) throw new Error(`more than ${MOST} kinds of pages`);
    const address = left.shift();
    if (known.has(kind(address))) continue;
    known.add(kind(address));
    const answer = await page.goto(address.href);
    if (!answer.ok()) desk.faults.push(`${address}: ${answer.status()}`);
    if (!answer.headers()["content-type"]?.startsWith("text/html")) continue;
    await desk.look(page);
    const name = kind(address).trim().replaceAll(/\W+/g, "-") || "now";
    await desk.picture(page, `light${name}`);
    await narrow.goto(address.href);
    await desk.look(narrow);
    await desk.picture(narrow, `dark-narrow${name}`);
    const links = await page.locator("a[href]").evaluateAll((all) => all.map((link) => link.getAttribute("href")));
    for (const link of links) {
      const to = new URL(link, page.url());
      to.hash = "";
      if (to.origin === address.origin) left.push(to);
    }
  }
  await page.context().close();
  await narrow.context().close();
}
